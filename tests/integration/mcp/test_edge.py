"""The HTTP edge: credentials, hosts and origins, request ids, metrics, and what must not be in a log."""

from __future__ import annotations

import asyncio
import json
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from typing import Any

import fastmcp
import httpx
import pytest
from fastmcp.client.transports import SSETransport

from memsys_mcp.buckets import PER_MINUTE

from .clients import Session, Target, http
from .processes import Process, metrics_of, python_module, served
from .scripted_api import ScriptedApi

LIST: dict[str, Any] = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {"name": "list_memories", "arguments": {}},
}
PAGE = "https://app.example.org"
ACCEPT = {"Accept": "application/json, text/event-stream"}


@pytest.fixture(scope="module")
def api() -> Iterator[tuple[ScriptedApi, str]]:
    scripted = ScriptedApi()
    with served(scripted.app()) as url:
        yield scripted, url


@pytest.fixture(scope="module")
def server(api: tuple[ScriptedApi, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    settings = {
        "MEMSYS_MCP_ALLOWED_HOSTS": "memory.example.org",
        "MEMSYS_MCP_ALLOWED_ORIGINS": f"{PAGE},https://*.apps.example.org",
        "MEMSYS_LOG_LEVEL": "DEBUG",
    }
    log = tmp_path_factory.mktemp("edge") / "log"
    with python_module("memsys_mcp", log, "/readyz", MEMSYS_API_URL=api[1], **settings) as process:
        yield process


def post(server: Process, path: str = "/p/alpha/mcp", **headers: str) -> httpx.Response:
    return httpx.post(server.url + path, json=LIST, headers={**ACCEPT, **headers})


def send(server: Process, content: bytes) -> httpx.Response:
    return httpx.post(f"{server.url}/p/alpha/mcp", content=content, headers={"X-API-Key": "msk_any", **ACCEPT})


@pytest.mark.parametrize("path", ["/mcp", "/p/alpha/mcp", "/sse", "/messages/?session_id=0", "/nowhere"])
def test_without_credentials_nothing_is_served_and_the_way_in_is_named(server: Process, path: str):
    answer = httpx.get(server.url + path) if path == "/sse" else post(server, path)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="memsys"'
    assert "Authorization: Bearer <key>" in answer.json()["detail"]
    assert answer.json()["type"] == "https://memsys.dev/problems/unauthorized"


def test_credentials_that_are_nested_too_deeply_are_refused(server: Process):
    deep = urlsafe_b64encode(b'{"alg":' + b"[" * 3000).rstrip(b"=").decode()
    assert post(server, Authorization=f"Bearer {deep}.e30.e30").status_code == 401
    assert "Traceback" not in server.logged()


def test_a_key_the_api_does_not_know_fails_on_connecting(server: Process):
    answer = post(server, Authorization="Bearer msk_wrong")
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


def test_who_tries_wrong_keys_is_slowed_down_by_its_address_and_nobody_else_is(server: Process):
    def status(key: str, client: str) -> httpx.Response:
        return post(server, **{"X-API-Key": key, "X-Forwarded-For": client})

    assert status("msk_any", "203.0.113.7").status_code == 200
    answers = [status(f"msk_{n}", "203.0.113.7") for n in range(PER_MINUTE + 10)]
    assert {answer.status_code for answer in answers} == {401, 429}
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.headers["retry-after"] == "1"
    assert refused.json()["type"] == "https://memsys.dev/problems/rate-limited"
    assert status("msk_any", "203.0.113.7").status_code == 200, "a key that was good lately"
    assert status("msk_alpha", "198.51.100.1").status_code == 200
    assert status("msk_wrong", "198.51.100.1").status_code == 401


@pytest.mark.parametrize(
    "headers",
    [{"Authorization": "Bearer msk_any"}, {"Authorization": "Token msk_any"}, {"X-API-Key": "msk_any"}],
)
def test_the_caller_s_own_key_and_request_id_go_on_to_the_api(
    server: Process, api: tuple[ScriptedApi, str], headers: dict[str, str]
):
    answer = post(server, **headers, **{"X-Request-ID": "req-77"})
    assert answer.status_code == 200
    assert answer.headers["x-request-id"] == "req-77"
    assert answer.headers["content-type"].startswith("application/json"), "no event stream for one answer"
    method, path, seen = api[0].requests[-1]
    assert (method, path) == ("GET", "/memories")
    assert seen["authorization"] == "Bearer msk_any"
    assert seen["x-memsys-project"] == "alpha"
    assert seen["x-request-id"] == "req-77"


async def test_two_callers_at_once_never_share_a_key(server: Process, api: tuple[ScriptedApi, str]):
    async def use(key: str, project: str) -> set[str]:
        projects = set()
        async with fastmcp.Client(http(Target(server.url, "", key, project))) as client:
            for _ in range(20):
                answer = await Session(client).call("add_memory", text=project)
                projects.add(answer.data["results"][0]["project"])
        return projects

    before = len(api[0].requests)
    both = await asyncio.gather(use("msk_both", "beta"), use("msk_alpha", "alpha"), use("msk_any", "gamma"))
    assert both == [{"beta"}, {"alpha"}, {"gamma"}]
    used = {
        (seen["authorization"], seen.get("x-memsys-project"))
        for _, path, seen in api[0].requests[before:]
        if path == "/memories"
    }
    assert used == {("Bearer msk_both", "beta"), ("Bearer msk_alpha", "alpha"), ("Bearer msk_any", "gamma")}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.com"}, 421),
        ({"Host": "localhost.evil.com:8080"}, 421),
        ({"Host": "memory.example.org"}, 200),
        ({"Host": "m-mcp.default.svc.cluster.local:8080"}, 200),
        ({"Host": "10.42.0.9:8080"}, 200),
        ({"Origin": "http://evil.com"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost:6274"}, 200),
    ],
)
def test_dns_rebinding_is_refused(server: Process, headers: dict[str, str], status: int):
    answer = post(server, **headers, **{"X-API-Key": "msk_any"})
    assert answer.status_code == status
    if status != 200:
        assert "MEMSYS_MCP_ALLOWED_" in answer.json()["detail"]


def preflight(server: Process, origin: str, **headers: str) -> httpx.Response:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,mcp-session-id"}
    return httpx.options(f"{server.url}/p/alpha/mcp", headers={"Origin": origin, **asked, **headers})


@pytest.mark.parametrize("origin", [PAGE, "https://shop.apps.example.org"])
def test_a_page_of_an_allowed_origin_may_call_and_read_the_answer(server: Process, origin: str):
    allowed = preflight(server, origin)
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == origin
    assert "POST" in allowed.headers["access-control-allow-methods"]
    assert allowed.headers["access-control-allow-headers"] == "authorization,mcp-session-id"
    for key, status in (("msk_any", 200), ("msk_wrong", 401)):
        answer = post(server, **{"Origin": origin, "X-API-Key": key})
        assert answer.status_code == status
        assert answer.headers["access-control-allow-origin"] == origin
        assert "access-control-allow-credentials" not in answer.headers, "no cookie stands for anybody here"
        exposed = answer.headers["access-control-expose-headers"].lower().split(", ")
        assert {"mcp-session-id", "mcp-protocol-version", "www-authenticate"} <= set(exposed)


@pytest.mark.parametrize("origin", ["https://evil.com", "http://localhost:6274", "https://apps.example.org.evil.com"])
def test_a_page_of_another_origin_reads_nothing(server: Process, origin: str):
    for answer in (preflight(server, origin), post(server, **{"Origin": origin, "X-API-Key": "msk_any"})):
        assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_an_allowed_origin_opens_no_foreign_host(server: Process):
    assert preflight(server, PAGE, Host="evil.com").status_code == 421


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_probes_by_address_and_scrapes_need_no_key(server: Process, path: str):
    assert httpx.get(server.url + path, headers={"Host": "10.42.0.9:8080"}).status_code == 200


async def test_an_sse_session_belongs_to_the_key_that_opened_it(server: Process):
    seen: list[str] = []
    transport = SSETransport(f"{server.url}/p/alpha/sse", headers={"X-API-Key": "msk_any"})
    async with fastmcp.Client(transport) as client:
        await Session(client).call("list_memories")
        seen = [line for line in server.logged().splitlines() if "/p/alpha/messages" in line]
        assert seen, "messages go to the path of the project"
        # A session id is a bearer secret of its own; this one is read from the stream of a second session.
        async with (
            httpx.AsyncClient(timeout=5) as stranger,
            stranger.stream("GET", f"{server.url}/p/alpha/sse", headers={"X-API-Key": "msk_any"}) as stream,
        ):
            async for line in stream.aiter_lines():
                if line.startswith("data: "):
                    endpoint = server.url + line.removeprefix("data: ")
                    break
            mine = await stranger.post(endpoint, json=LIST, headers={"X-API-Key": "msk_any"})
            theirs = await stranger.post(endpoint, json=LIST, headers={"X-API-Key": "msk_both"})
    assert (mine.status_code, theirs.status_code) == (202, 404)


async def test_tools_are_counted_and_timed(server: Process):
    def count(text: str, sample: str) -> float:
        [line] = [line for line in text.splitlines() if line.startswith(sample + " ")]
        return float(line.rpartition(" ")[2])

    samples = {
        'memsys_mcp_tool_calls_total{outcome="ok",tool="add_memory"}': 2,
        'memsys_mcp_tool_calls_total{outcome="refused",tool="add_memory"}': 1,
        'memsys_mcp_tool_seconds_count{tool="add_memory"}': 3,
    }
    before = metrics_of(server)
    async with fastmcp.Client(http(Target(server.url, "", "msk_any", "alpha"))) as client:
        session = Session(client)
        await session.call("add_memory", text="x")
        await session.call("add_memory", text="y")
        await session.call("add_memory", text="")
        await session.call("no_such_tool")
    after = metrics_of(server)
    assert {sample: count(after, sample) - count(before, sample) for sample in samples} == samples
    assert 'tool="unknown"' in after
    assert "no_such_tool" not in after, "a caller must not make up labels"


async def test_no_memory_text_and_no_key_is_ever_logged(server: Process):
    private = "Priya-keeps-the-spare-key-under-the-mat"
    async with fastmcp.Client(http(Target(server.url, "", "msk_any", "alpha"))) as client:
        session = Session(client)
        stored = await session.call("add_memory", text=private, metadata={"note": private})
        identity = stored.data["results"][0]["id"]
        await session.call("search_memories", query=private)
        await session.call("list_memories", user_id=private)
        await session.read(f"memory://{identity}")
        await session.call("update_memory", memory_id=private, text=private)
        with pytest.raises(Exception, match="memory_id"):
            await session.read(f"memory://{private}")
    transport = SSETransport(f"{server.url}/p/alpha/sse", headers={"X-API-Key": "msk_any"})
    async with fastmcp.Client(transport) as client:
        await Session(client).call("add_memory", text=private)
    for broken in (private.encode(), b'{"x": "' + private.encode()):
        send(server, broken)
    log = server.logged()
    assert private not in log
    assert "msk_any" not in log
    entries = [json.loads(line) for line in log.splitlines()]
    assert entries, "there is a log, and every line of it is JSON"
    assert all(entry["request_id"] for entry in entries if entry["message"] == "request")
