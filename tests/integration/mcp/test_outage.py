"""The API away, in every way it can be away: a tool answers in time, says so, and works again afterwards."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import fastmcp
import httpx
import pytest
from fastmcp.client.transports import SSETransport

from memsys_mcp.server import create_app
from memsys_mcp.settings import Settings

from .clients import Session, Target, http
from .conftest import StartMcp
from .processes import free_port, metrics_of, python_module, served, wait_until
from .scripted_api import ScriptedApi

SECONDS = 5.0
CALLS = [
    ("add_memory", {"text": "x"}),
    ("search_memories", {"query": "x"}),
    ("list_memories", {}),
    ("update_memory", {"memory_id": "6f1c8b1e-0000-4000-8000-000000000000", "text": "x"}),
    ("delete_memory", {"memory_id": "6f1c8b1e-0000-4000-8000-000000000000"}),
]


def target(url: str) -> Target:
    return Target(url, "", "msk_any", "alpha")


@pytest.mark.parametrize("away", ["refused", "silent", "unready"])
async def test_every_tool_answers_within_five_seconds_and_says_what_is_wrong(
    away: str, scripted: tuple[ScriptedApi, str], start_mcp: StartMcp
):
    api, url = scripted
    server = start_mcp(f"http://127.0.0.1:{free_port()}" if away == "refused" else url)
    api.hang, api.down = away == "silent", away == "unready"
    async with fastmcp.Client(http(target(server.url))) as client:
        for tool, arguments in CALLS:
            began = time.monotonic()
            answer = await Session(client).call(tool, **arguments)
            assert time.monotonic() - began < SECONDS, f"{tool} took too long"
            assert answer.is_error
            assert "The memory service is not reachable right now" in answer.text
            assert "try again" in answer.text
            if away == "unready":
                assert "waiting for PostgreSQL" in answer.text
    metrics = metrics_of(server)
    for tool, _ in CALLS:
        assert f'memsys_mcp_tool_calls_total{{outcome="unavailable",tool="{tool}"}} 1.0' in metrics


async def test_every_tool_answers_within_five_seconds_where_no_name_server_does(monkeypatch: pytest.MonkeyPatch):
    over, resolve = threading.Event(), socket.getaddrinfo

    def hang(host: Any, *arguments: Any, **named: Any) -> Any:
        if host in ("memory-api.test", b"memory-api.test"):
            over.wait(30)
            raise socket.gaierror("temporary failure in name resolution")
        return resolve(host, *arguments, **named)

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    monkeypatch.setenv("MEMSYS_API_URL", "http://memory-api.test:8000")
    try:
        with served(create_app(Settings()), loop="asyncio") as url:
            async with fastmcp.Client(http(target(url))) as client:
                for tool, arguments in CALLS:
                    began = time.monotonic()
                    answer = await Session(client).call(tool, **arguments)
                    assert time.monotonic() - began < SECONDS, f"{tool} took too long"
                    assert "The memory service is not reachable right now" in answer.text
            over.set()  # threads that resolve names are waited for when their loop ends
    finally:
        over.set()


async def test_an_api_that_is_slow_but_alive_is_waited_for(scripted: tuple[ScriptedApi, str], start_mcp: StartMcp):
    api, url = scripted
    api.slow = 2.0
    server = start_mcp(url, MEMSYS_MCP_PATIENCE_SECONDS="0.5")
    async with fastmcp.Client(http(target(server.url))) as client:
        answer = await Session(client).call("add_memory", text="thought over for a while")
    assert not answer.is_error, answer.text
    assert len(api.memories) == 1, "and not stored twice"


async def test_after_a_run_of_failures_tools_fail_at_once_and_recover_by_themselves(start_mcp: StartMcp):
    port = free_port()
    with socket.socket() as silent:  # accepts connections and never answers
        silent.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        silent.bind(("127.0.0.1", port))
        silent.listen(64)
        server = start_mcp(f"http://127.0.0.1:{port}", MEMSYS_MCP_PATIENCE_SECONDS="0.3")
        async with fastmcp.Client(http(target(server.url))) as client:
            took = []
            for _ in range(8):
                began = time.monotonic()
                assert (await Session(client).call("list_memories")).is_error
                took.append(time.monotonic() - began)
            assert min(took[-2:]) < 0.2, f"the circuit did not open: {took}"
            silent.close()
            api = ScriptedApi()
            with served(api.app(), port):
                deadline = time.monotonic() + 20
                while (answer := await Session(client).call("list_memories")).is_error:
                    assert time.monotonic() < deadline, f"no recovery: {answer.text}"
                assert answer.data["results"] == []


def test_readiness_follows_the_api_and_says_what_it_waits_for(scripted: tuple[ScriptedApi, str], start_mcp: StartMcp):
    api, url = scripted
    server = start_mcp(url)
    assert httpx.get(f"{server.url}/readyz").status_code == 200
    api.down = True
    answer = httpx.get(f"{server.url}/readyz")
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert "waiting for PostgreSQL" in answer.json()["detail"]
    assert url in answer.json()["detail"]
    assert httpx.get(f"{server.url}/healthz").status_code == 200, "alive, whatever it waits for"
    api.down = False
    assert httpx.get(f"{server.url}/readyz").status_code == 200


async def test_a_restart_of_the_server_does_not_break_a_client_on_http(scripted: tuple[ScriptedApi, str], tmp_path):
    _, url = scripted
    port = free_port()
    log = tmp_path / "log"
    with python_module("memsys_mcp", log, "/readyz", port, MEMSYS_API_URL=url) as first:
        client = fastmcp.Client(http(target(first.url)))
        await client.__aenter__()
        assert not (await Session(client).call("add_memory", text="before")).is_error
    with python_module("memsys_mcp", log, "/readyz", port, MEMSYS_API_URL=url):
        listed = await Session(client).call("list_memories")
        assert [item["memory"] for item in listed.data["results"]] == ["before"]
        await client.__aexit__(None, None, None)


async def test_a_server_with_an_open_sse_session_still_stops_in_time(scripted: tuple[ScriptedApi, str], tmp_path):
    _, url = scripted
    with python_module("memsys_mcp", tmp_path / "log", "/readyz", MEMSYS_API_URL=url) as server:
        transport = SSETransport(f"{server.url}/p/alpha/sse", headers={"X-API-Key": "msk_any"})
        client = fastmcp.Client(transport)
        await client.__aenter__()
        assert not (await Session(client).call("list_memories")).is_error
        server.handle.terminate()
        wait_until(lambda: server.handle.poll() is not None, "the server ends after SIGTERM", 10)
    with pytest.raises(Exception):  # noqa: B017 - the session is gone; how a client says so is its own
        await Session(client).call("list_memories")
