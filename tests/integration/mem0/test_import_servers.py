"""Memories out of programs that run: mem0's self-hosted server, and the MCP reference server as it keeps its file."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI, Header, HTTPException, Query
from fastmcp import Client
from fastmcp.client.transports import StdioTransport
from mem0 import Memory

from memsys.importing import mem0 as importing
from memsys.importing.__main__ import main

from ..mcp import npm
from ..support.postgres import free_port
from .test_import import mem0  # noqa: F401  (a fixture)

SERVER_KEY = "the-servers-own-key"


def _self_hosted(memory: Memory) -> FastAPI:
    """mem0's self-hosted server as its README describes the routes, over the real library.

    Without ``top_k`` the library answers twenty memories, and the server takes no more than 1,000.
    """
    app = FastAPI()

    @app.get("/memories")
    def memories(
        x_api_key: Annotated[str, Header()],
        user_id: str | None = None,
        run_id: str | None = None,
        agent_id: str | None = None,
        top_k: Annotated[int | None, Query(ge=0, le=1000)] = None,
    ) -> Any:
        if x_api_key != SERVER_KEY:
            raise HTTPException(401, "Invalid API key.")
        given = {"user_id": user_id, "run_id": run_id, "agent_id": agent_id}
        filters = {name: value for name, value in given.items() if value}
        return memory.get_all(filters=filters, **({} if top_k is None else {"top_k": top_k}))

    return app


@contextmanager
def _running(app: FastAPI) -> Iterator[str]:
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        transport = httpx.HTTPTransport(retries=20)
        with httpx.Client(transport=transport) as http:
            http.get(f"http://127.0.0.1:{port}/openapi.json")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(30)


Run = Callable[..., int]


@pytest.fixture
def run(host: str, key: str) -> Run:
    """The command, sending to the API."""
    return lambda *arguments: main([*arguments, "--url", host, "--key", key])


def _held(host: str, key: str, **query: str) -> list[dict[str, Any]]:
    answer = httpx.get(f"{host}/memories", params={"limit": "1000", **query}, headers={"X-API-Key": key})
    results: list[dict[str, Any]] = answer.json()["results"]
    return results


def test_a_self_hosted_server_of_mem0_gives_all_that_it_holds(
    mem0: Memory,  # noqa: F811
    host: str,
    key: str,
    run: Run,
    capsys: pytest.CaptureFixture[str],
) -> None:
    added = [
        mem0.add(f"fact {n}", user_id="alice", metadata={"n": n}, infer=False)["results"][0]["id"] for n in range(25)
    ]
    mem0.update(added[0], "fact 0, corrected")
    mem0.add("a fact of bob", user_id="bob", infer=False)
    with _running(_self_hosted(mem0)) as server:
        command = ("mem0-server", server, "--source-key", SERVER_KEY, "--user-id", "alice")
        for report in ("imported 25, unchanged 0", "imported 0, unchanged 25"):
            assert run(*command) == 0
            assert report in capsys.readouterr().out
        assert run("mem0-server", server, "--source-key", "wrong", "--user-id", "alice") == 2
    held = {memory["id"]: memory for memory in _held(host, key)}
    assert held.keys() == set(added)
    assert held[added[0]]["memory"] == "fact 0, corrected"
    assert {memory["user_id"] for memory in held.values()} == {"alice"}
    assert {memory["metadata"]["n"] for memory in held.values()} == set(range(25))


def test_what_the_server_does_not_tell_is_never_left_out_in_silence(
    mem0: Memory,  # noqa: F811
    run: Run,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importing, "_MOST", 2)
    for n in range(3):
        mem0.add(f"fact {n}", user_id="alice", infer=False)
    with _running(_self_hosted(mem0)) as server:
        assert run("mem0-server", server, "--source-key", SERVER_KEY, "--user-id", "alice") == 1
    said = capsys.readouterr().out
    assert "imported 2" in said
    assert "left out 'the rest': the server tells of 2 memories at most" in said


def test_who_said_it_and_until_when_it_holds_come_along(
    mem0: Memory,  # noqa: F811
    host: str,
    key: str,
    run: Run,
) -> None:
    day = datetime.now(UTC).date() + timedelta(days=3)
    said = [{"role": "user", "name": "priya", "content": "the door code is 1234"}]
    mem0.add(said, user_id="u", metadata={"n": 1}, expiration_date=day.isoformat(), infer=False)
    with _running(_self_hosted(mem0)) as server:
        assert run("mem0-server", server, "--source-key", SERVER_KEY, "--user-id", "u") == 0
    [held] = _held(host, key)
    assert held["expires_at"] == f"{day + timedelta(days=1)}T00:00:00+00:00"
    assert held["metadata"] == {"n": 1, "actor_id": "priya", "role": "user"}
    exported = httpx.get(f"{host}/export", headers={"X-API-Key": key}).text.splitlines()
    line = json.loads(exported[1])
    assert (line["speaker"], line["role"]) == ("priya", "user")


def test_pages_that_a_server_names_by_address_are_followed_to_the_last(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    app = FastAPI()

    @app.get("/memories")
    def memories(page: int = 1) -> Any:
        found = [{"id": f"{page}", "memory": f"fact {page}", "user_id": "u"}]
        return {"results": found, "next": f"/memories?page={page + 1}" if page < 3 else None}

    with _running(app) as server:
        assert run("mem0-server", server, "--user-id", "u") == 0
    assert "imported 3, unchanged 0" in capsys.readouterr().out


async def test_the_file_of_the_reference_server_as_it_writes_it(
    tmp_path: Path, host: str, key: str, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    programs = npm.installed("server-memory")
    file = tmp_path / "memory.jsonl"
    variables = {"MEMORY_FILE_PATH": str(file), "PATH": f"{programs}:{os.environ['PATH']}"}
    async with Client(
        StdioTransport(str(programs / "mcp-server-memory"), [], env=variables, log_file=tmp_path / "log")
    ) as reference:
        entities = [
            {"name": "Priya", "entityType": "person", "observations": ["lives in Lisbon", "Priya runs"]},
            {"name": "Acme", "entityType": "company", "observations": []},
            {"name": 'Olá, \u2028 "Ünïcode"', "entityType": "project", "observations": ["line one\nline two"]},
            {"name": "Gone", "entityType": "person", "observations": ["is deleted again"]},
        ]
        await reference.call_tool("create_entities", {"entities": entities})
        relations = [{"from": "Priya", "to": "Acme", "relationType": "works_at"}]
        await reference.call_tool("create_relations", {"relations": relations})
        more = [{"entityName": "Priya", "contents": ["likes fado"]}]
        await reference.call_tool("add_observations", {"observations": more})
        await reference.call_tool("delete_entities", {"entityNames": ["Gone"]})
    assert run("server-memory", str(file), "--user-id", "priya") == 0, capsys.readouterr().out
    assert "imported 6, unchanged 0" in capsys.readouterr().out
    assert {memory["memory"] for memory in _held(host, key, user_id="priya")} == {
        "Priya: lives in Lisbon", "Priya runs", "Priya: likes fado", "Acme is a company", "Priya works at Acme",
        "Olá, \u2028 \"Ünïcode\": line one\nline two",
    }  # fmt: skip
    async with Client(
        StdioTransport(str(programs / "mcp-server-memory"), [], env=variables, log_file=tmp_path / "log")
    ) as reference:
        await reference.call_tool("add_observations", {"observations": [{"entityName": "Acme", "contents": ["hires"]}]})
    assert run("server-memory", str(file), "--user-id", "priya") == 0
    assert "imported 1, unchanged 5" in capsys.readouterr().out
