import pytest

import memsys
from memsys.errors import FieldError, problem
from memsys_mcp import remedies

from .queueing import answer

PRIVATE = "the secret of the house"
ADDRESS = "http://memory.example.org"


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (answer(404, "not-found"), ["memory_id", "search_memories"]),
        (problem(404, b"404 page not found"), [f"at {ADDRESS} is not the memory API", "404", "MEMSYS_API_URL"]),
        (problem(405, b"<h1>Not Allowed</h1>"), [f"at {ADDRESS} is not the memory API", "405", "MEMSYS_API_URL"]),
        (problem(301, b""), [f"at {ADDRESS} is not the memory API", "301", "MEMSYS_API_URL"]),
        (problem(401, b""), ["key was refused", "Authorization: Bearer", "will not help"]),
        (problem(403, b'{"detail": "no access to project x"}'), ["no access to project x", "will not help"]),
        (problem(409, b""), ["conflict", "Read the memory again"]),
        (problem(413, b""), ["text: too long", "Split it"]),
        (problem(429, b"", retry_after=7), ["Too many requests", "try again in 7 s"]),
        (problem(500, b"", request_id="r9"), ["could not do this", "(request r9)", "tell the user"]),
        (problem(503, b'{"detail": "waiting for PostgreSQL"}'), ["waiting for PostgreSQL", "not reachable"]),
        (
            problem(503, b'{"type": "https://memsys.dev/problems/too-slow", "detail": "took too long"}', retry_after=1),
            ["could not do this: took too long", "try again in 1 s"],
        ),
        (memsys.Unreachable("x"), ["not reachable right now", "try again in a moment"]),
        (memsys.CircuitOpen("x", 4.2), ["not reachable right now", "try again in 4 s"]),
        (memsys.UnexpectedAnswer("x"), ["versions differ"]),
    ],
)
def test_every_error_says_what_to_do_next(error: memsys.MemsysError, says: list[str]):
    text = remedies.explain(error, ADDRESS)
    for part in says:
        assert part in text
    assert len(text) < 300


def test_a_refused_field_is_named_as_the_tool_names_it():
    error = memsys.Invalid(
        400,
        errors=(FieldError("messages.0.content", "must not be blank"), FieldError("top_k", "is too large")),
    )
    text = remedies.explain(error)
    assert text == "Not accepted. text: must not be blank; limit: is too large. Correct it and call again."


async def test_a_wrong_argument_is_named_without_its_value():
    from fastmcp import Client

    from memsys_mcp.metrics import Metrics
    from memsys_mcp.server import create_server, create_upstream
    from memsys_mcp.settings import Settings

    settings = Settings(MEMSYS_MCP_ISOLATION="global")
    server = create_server(settings, create_upstream(settings), Metrics(), stdio_key="msk_x")
    async with Client(server) as client:
        answer = await client.call_tool("update_memory", {"memory_id": PRIVATE, "texts": PRIVATE}, raise_on_error=False)
    text = answer.content[0].text
    assert answer.is_error
    assert "memory_id: input should be a valid UUID" in text
    assert "text: is required" in text
    assert "texts: there is no such argument" in text
    assert PRIVATE not in text


async def test_metadata_that_the_api_would_refuse_is_refused_before_it_could_be_queued():
    from fastmcp import Client

    from memsys_mcp.metrics import Metrics
    from memsys_mcp.server import create_server, create_upstream
    from memsys_mcp.settings import Settings

    settings = Settings(MEMSYS_MCP_ISOLATION="global")
    server = create_server(settings, create_upstream(settings), Metrics(), stdio_key="msk_x")
    async with Client(server) as client:
        given = {"text": "x", "metadata": {"blob": "y" * 65_536}}
        answer = await client.call_tool("add_memory", given, raise_on_error=False)
    assert answer.is_error
    assert "Not accepted. metadata: must not be larger than 65536 bytes as JSON" in answer.content[0].text
