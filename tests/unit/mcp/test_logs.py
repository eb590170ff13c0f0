import io
import json
import logging
from collections.abc import Iterator

import pytest

from memsys_mcp import logs
from memsys_mcp.caller import request_id


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    stream = io.StringIO()
    logs.configure("INFO", stream)
    yield stream
    root.handlers[:], root.level = before, level


def entries(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_json_with_the_request_id(written: io.StringIO):
    token = request_id.set("req-1")
    logging.getLogger("memsys_mcp.x").info("request", extra={"status": 200})
    request_id.reset(token)
    [entry] = entries(written)
    assert (entry["message"], entry["request_id"], entry["status"]) == ("request", "req-1", 200)
    assert entry["level"] == "info"


def test_an_exception_is_told_by_type_and_place_and_not_by_its_message(written: io.StringIO):
    try:
        raise ValueError("the memory of a user")
    except ValueError:
        logging.getLogger("mcp.server.sse").exception("Failed to parse message")
    [entry] = entries(written)
    assert entry["error"] == "ValueError"
    assert "test_logs.py" in str(entry["trace"])
    assert "the memory of a user" not in written.getvalue()


@pytest.mark.parametrize("name", ["mcp.server.sse", "fastmcp.server", "httpx", "httpx2", "uvicorn.error"])
def test_libraries_are_held_to_warnings_whatever_the_level(written: io.StringIO, name: str):
    logs.configure("DEBUG", written)
    logging.getLogger(name).debug("Received JSON: private")
    logging.getLogger(name).info("HTTP Request: POST /?private")
    assert written.getvalue() == ""
