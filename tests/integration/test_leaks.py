"""Secrets and what memories say stay out of logs, errors, metrics and states, whatever fails and however loudly.

Every value that must not show carries a mark of its own. The processes log at their most talkative, the model server
repeats whatever it was sent in its errors, and the graph's constraint quotes the text that it refuses.
"""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from neo4j import GraphDatabase

from tests.support.neo4j_server import Neo4jServer, neo4j_server
from tests.support.scripted_llm import Call, Reply, ScriptedLLM

from .mcp.clients import CLIENTS, Target
from .mcp.processes import Process, free_port, python_module
from .support.postgres import Server, create_database, server
from .support.waiting import until

STATES = (
    "/readyz", "/healthz", "/metrics", "/info", "/openapi.json", "/graph/status", "/graph/drift", "/graph/rebuild",
    "/sinks", "/inferences/status", "/webhooks", "/audit?limit=1000", "/policy", "/keys", "/erasures",
    "/erasures/ledger",
)  # fmt: skip
KEPT = (
    ("memory_versions", "provenance"), ("deliveries", "error"), ("webhook_deliveries", "error"),
    ("inferences", "error"), ("audit", "detail"),
)  # fmt: skip
"""Columns for what happened, as opposed to what was said."""


def mark() -> str:
    return f"zq{secrets.token_hex(10)}"


@dataclass
class Marks:
    admin_key: str = field(default_factory=mark)
    llm_key: str = field(default_factory=lambda: f"sk-{mark()}")
    embedder_key: str = field(default_factory=lambda: f"sk-{mark()}")
    database_password: str = field(default_factory=mark)
    graph_password: str = ""
    webhook_secret: str = field(default_factory=lambda: f"whsec_{base64.b64encode(secrets.token_bytes(24)).decode()}")
    minted_key: str = ""
    text: str = field(default_factory=mark)
    query: str = field(default_factory=mark)
    metadata: str = field(default_factory=mark)
    prompt: str = field(default_factory=mark)

    def found_in(self, output: str) -> list[str]:
        """Which of them show, by name."""
        return [name for name, value in vars(self).items() if value and value in output]


@dataclass
class House:
    """All that runs, and everything that it said."""

    marks: Marks
    database: Server
    graph: Neo4jServer
    llm: ScriptedLLM
    api: Process
    mcp: Process
    said: list[tuple[str, str]] = field(default_factory=list)
    failing: int | None = None

    def reply(self, call: Call) -> Reply:
        """Fail as told to, repeating all that was sent, key included."""
        if self.failing is None:
            return Reply()
        sent = json.dumps([call.body, call.headers])
        if self.failing == 0:
            return Reply(hang_up=True)
        if self.failing == 200:
            return Reply(text=f'{{"memory": "{sent}', raw=None if "chat" in call.path else sent)
        return Reply(status=self.failing, error=sent)

    def ask(self, method: str, path: str, **what: Any) -> httpx.Response:
        """Send a request with the admin key; what it answers is kept when it is an error."""
        headers = {"Authorization": f"Bearer {self.marks.admin_key}", **what.pop("headers", {})}
        answer = httpx.request(method, self.api.url + path, headers=headers, timeout=30, **what)
        if answer.is_error:
            self.said.append((f"{answer.status_code} of {method} {path.partition('?')[0]}", answer.text))
        return answer

    def add(self, **fields: Any) -> httpx.Response:
        text = f"Zoe {self.marks.text} moved to Bonn in May, number {secrets.token_hex(4)}."
        request = {"messages": [{"role": "user", "content": text}], "user_id": "zoe"}
        return self.ask("POST", "/memories", json=request | {"metadata": {"note": self.marks.metadata}} | fields)

    def url(self, password: str) -> str:
        return f"postgresql://memsys_app:{password}@127.0.0.1:{self.database.port}/memsys"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    marks = Marks()
    with server() as database, neo4j_server() as graph, ScriptedLLM() as llm:
        create_database(database, "memsys")
        for role in ("memsys_app", "memsys_owner"):
            database.execute(f"ALTER ROLE {role} PASSWORD '{marks.database_password}'")
        marks.graph_password = graph.password
        settings = {
            "DATABASE_URL": f"postgresql://memsys_app:{marks.database_password}@127.0.0.1:{database.port}/memsys",
            "DATABASE_OWNER_URL": f"postgresql://memsys_owner:{marks.database_password}@127.0.0.1:{database.port}/memsys",
            "MEMSYS_ADMIN_KEY": marks.admin_key,
            "MEMSYS_LOG_LEVEL": "DEBUG",
            "GRAPH_STORE": "neo4j",
            "NEO4J_URI": graph.uri,
            "NEO4J_PASSWORD": graph.password,
            "GRAPH_RETRY_BASE_SECONDS": "0.01",
            "EMBEDDER_PROVIDER": "openai",
            "EMBEDDER_MODEL": "scripted-embedder",
            "EMBEDDER_DIMENSIONS": "8",
            "EMBEDDER_BASE_URL": llm.openai_url,
            "EMBEDDER_API_KEY": marks.embedder_key,
            "LLM_PROVIDER": "openai",
            "LLM_MODEL": "scripted-model",
            "LLM_BASE_URL": llm.openai_url,
            "LLM_API_KEY": marks.llm_key,
            "LLM_RETRY_BASE_SECONDS": "0.01",
            "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
            "WEBHOOK_RETRY_BASE_SECONDS": "0.01",
        }
        with (
            python_module("memsys_api", tmp_path / "api.log", "/readyz", **settings) as api,
            python_module(
                "memsys_mcp", tmp_path / "mcp.log", "/readyz", MEMSYS_API_URL=api.url, MEMSYS_LOG_LEVEL="DEBUG"
            ) as mcp,
        ):
            running = House(marks, database, graph, llm, api, mcp)
            llm.answer = running.reply
            yield running


async def test_nothing_marked_shows_whatever_fails(house: House, tmp_path: Path) -> None:
    marks = house.marks
    minted = house.ask("POST", "/keys", json={"name": "leaks", "projects": ["default"], "rights": ["read", "write"]})
    marks.minted_key = minted.json()["key"]
    webhook = {"url": f"http://127.0.0.1:{free_port()}/", "secret": marks.webhook_secret, "include": ["memory"]}
    registered = house.ask("POST", "/webhooks", json=webhook)
    assert registered.status_code == 201, registered.text
    stored = house.add(infer=False)
    assert marks.text in stored.text, "the marks are where they belong"

    await _poison_the_graph(house)
    _provoke_the_model(house)
    _send_nonsense(house)
    await _through_mcp(house)
    await _webhooks_have_failed(house, registered.json()["id"])
    house.graph.stop()
    house.add(infer=False)
    house.ask("POST", "/search", json={"query": f"Where is {marks.query}?", "user_id": "zoe"})
    await until("the graph's absence is told", lambda: not house.ask("GET", "/graph/status").json()["available"], 30)
    _collect(house, f"/webhooks/{registered.json()['id']}/deliveries")
    await _without_database(house)
    _with_a_wrong_password(house, tmp_path / "astray.log")

    house.said += [("the API's log", house.api.logged()), ("the MCP server's log", house.mcp.logged())]
    assert "stored without inference" in house.api.logged()
    assert "database" in house.api.logged()
    assert any(marks.prompt in str(call.body) for call in house.llm.calls), "the model server had something to repeat"
    leaks = {where: found for where, output in house.said if (found := marks.found_in(output))}
    assert not leaks


async def _poison_the_graph(house: House) -> None:
    """Have Neo4j refuse a record with an error that quotes its text."""
    text = f"Zoe {house.marks.text} has a cat."
    with GraphDatabase.driver(house.graph.uri, auth=(house.graph.user, house.graph.password)) as driver:
        driver.execute_query("CREATE CONSTRAINT poison IF NOT EXISTS FOR (m:Memory) REQUIRE m.text IS UNIQUE")
        driver.execute_query("CREATE (:Memory {project: 'poison', id: 'x', text: $text})", text=text)
        house.add(infer=False, messages=text)
        await until("a record is parked", lambda: house.ask("GET", "/graph/status").json()["parked"] > 0, 30)
        driver.execute_query("DROP CONSTRAINT poison")
    assert "Constraint" in house.ask("GET", "/graph/status").json()["last_error"], "it is told what it was"


def _provoke_the_model(house: House) -> None:
    question = {"query": f"Where is {house.marks.query}?", "user_id": "zoe"}
    for house.failing in (400, 200, 401, 429, 500, 0):
        assert house.ask("POST", "/search", json=question).status_code in (502, 503)
        house.add(prompt=f"Look for {house.marks.prompt}.")
    with pytest.MonkeyPatch.context() as patch:  # only chat fails: stored as it was said
        patch.setattr(house.llm, "answer", lambda call: house.reply(call) if "chat" in call.path else Reply())
        for house.failing in (400, 200, 500):
            assert house.add(prompt=f"Look for {house.marks.prompt}.").status_code == 200
    house.failing = None


def _send_nonsense(house: House) -> None:
    """Requests that are refused, each with something in it that must not come back or be noted."""
    text, query = house.marks.text, house.marks.query
    for method, path, what in (
        ("POST", "/memories", {"json": {"messages": [{"role": text, "content": {"a": text}}]}}),
        ("POST", "/memories", {"json": {"messages": f"{text}\0", "user_id": "zoe"}}),
        ("POST", "/memories", {"json": {"messages": "x", "timestamp": text, "expires_at": text, "infer": text}}),
        ("POST", "/memories", {"json": {"messages": "x", "metadata": text, "user_id": [text]}}),
        ("POST", "/memories", {"content": f'{{"messages": "{text}', "headers": {"Content-Type": "application/json"}}),
        ("POST", "/memories", {"content": text.encode(), "headers": {"Content-Type": "text/plain"}}),
        ("POST", "/search", {"json": {"query": "x", "top_k": query, "threshold": query, "as_of": query}}),
        ("POST", "/search", {"json": {"query": f"{query}\0", "filters": {"AND": query}}}),
        ("POST", "/search", {"json": {"query": "x", "filters": {"note": {"near": query}}}}),
        ("GET", "/memories", {"params": {"cursor": query, "filters": query, "as_of": query, "limit": query}}),
        ("GET", "/audit", {"params": {"cursor": query, "since": query}}),
        ("POST", "/webhooks", {"json": {"url": f"gopher://{text}", "secret": house.marks.webhook_secret[:-8]}}),
        ("POST", "/webhooks", {"json": {"url": "http://10.0.0.1/", "secret": house.marks.webhook_secret}}),
        ("POST", "/import", {"content": json.dumps({"type": "header", "text": text}).encode()}),
        ("POST", "/erasures/replay", {"content": json.dumps({"id": text}).encode()}),
        ("GET", "/memories", {"headers": {"Authorization": f"Bearer {house.marks.minted_key}x"}}),
        ("GET", "/memories", {"headers": {"Authorization": f"Basic {house.marks.minted_key}"}}),
    ):
        answer = house.ask(method, path, **what)
        assert 400 <= answer.status_code < 500, (method, path, what, answer.text)
    httpx.get(f"{house.api.url}/graph/entities/{text}/timeline", params={"as_of": query})
    httpx.get(f"{house.api.url}/{text}", params={"key": house.marks.minted_key})


async def _through_mcp(house: House) -> None:
    marks = house.marks
    target = Target(house.mcp.url, house.api.url, marks.minted_key, "default")
    async with CLIENTS["fastmcp-http"](target) as session:
        for house.failing in (None, 400, 500):
            calls = [
                ("add_memory", {"text": f"Zoe {marks.text} sails.", "metadata": {"note": marks.metadata}}),
                ("search_memories", {"query": marks.query}),
                ("search_memories", {"query": marks.query, "limit": -1}),
                ("update_memory", {"memory_id": "no-id", "text": marks.text}),
            ]
            for tool, arguments in calls:
                answer = await session.call(tool, **arguments)
                if answer.is_error:
                    house.said.append((f"MCP's {tool}", answer.text))
    house.failing = None


async def _webhooks_have_failed(house: House, webhook: str) -> None:
    def parked() -> bool:
        found = house.ask("GET", f"/webhooks/{webhook}/deliveries", params={"state": "parked"})
        return bool(found.json()["results"])

    await until("a webhook's delivery is parked", parked, 30)


def _collect(house: House, *more: str) -> None:
    """Everything that tells how the service is, and what the database keeps of failures."""
    house.said += [(f"MCP's {path}", httpx.get(house.mcp.url + path).text) for path in ("/metrics", "/readyz")]
    for path in (*STATES, *more):
        answer = house.ask("GET", path)
        assert answer.status_code in (200, 503), (path, answer.text)
        house.said.append((path, answer.text))
    with psycopg.connect(house.database.url("postgres", "memsys")) as conn:
        for table, column in KEPT:
            rows = conn.execute(f"SELECT {column}::text FROM {table} WHERE {column} IS NOT NULL").fetchall()
            house.said.append((f"{table}.{column}", "\n".join(row[0] for row in rows)))


async def _without_database(house: House) -> None:
    await asyncio.to_thread(house.database.stop)
    assert house.add(infer=False).status_code == 503
    question = {"query": house.marks.query, "user_id": "zoe"}
    assert house.ask("POST", "/search", json=question).status_code == 503
    house.ask("GET", "/readyz")
    async with CLIENTS["fastmcp-http"](
        Target(house.mcp.url, house.api.url, house.marks.minted_key, "default")
    ) as session:
        answer = await session.call("search_memories", query=house.marks.query)
        assert answer.is_error
        house.said.append(("MCP without a database", answer.text))
    await asyncio.to_thread(house.database.start)
    await until("the database is back", lambda: house.ask("GET", "/readyz").status_code == 200, 30)


def _with_a_wrong_password(house: House, log: Path) -> None:
    """A replica that cannot begin says why, and not with what."""
    settings = {"DATABASE_URL": house.url(f"{house.marks.database_password}x"), "GRAPH_STORE": "none"}
    with python_module("memsys_api", log, "/healthz", MEMSYS_ADMIN_KEY=house.marks.admin_key, **settings) as astray:
        answer = httpx.get(f"{astray.url}/readyz")
        assert answer.status_code == 503
        house.said += [("readyz of a replica astray", answer.text), ("its log", astray.logged())]
