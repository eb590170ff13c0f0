"""How the API starts, waits, recovers, and what it tells its operators."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from unittest.mock import AsyncMock, Mock

import httpx
import psycopg
import pytest
from fastapi import FastAPI
from jsonschema import Draft202012Validator

from memsys_api import app, logs, problems, runtime
from memsys_api.assembling import Makers
from memsys_api.settings import Settings
from memsys_api.store import migrate
from memsys_api.store.database import DatabaseUnavailable

from .conftest import ADMIN_KEY, Dsn, Fleet, Replica
from .support.parts import WordEmbedder
from .support.postgres import Server, create_database, server
from .support.waiting import until


async def _words(_: Settings) -> WordEmbedder:
    return WordEmbedder()


@asynccontextmanager
async def _running(**values: object) -> AsyncIterator[tuple[FastAPI, httpx.AsyncClient]]:
    settings = Settings.model_validate({"MEMSYS_ADMIN_KEY": ADMIN_KEY, "DATABASE_TIMEOUT_SECONDS": 2} | values)
    application = app.create(settings, Makers(embedder=_words, graph=lambda _: None))
    transport = httpx.ASGITransport(application, raise_app_exceptions=False)
    headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
    async with (
        application.router.lifespan_context(application),
        httpx.AsyncClient(transport=transport, base_url="http://memsys", headers=headers) as client,
    ):
        yield application, client


@pytest.fixture
def own_server() -> Iterator[Server]:
    """A PostgreSQL that the test may stop and start."""
    with server() as running:
        create_database(running, "memsys")
        yield running


def _urls(running: Server) -> dict[str, str]:
    return {
        "DATABASE_URL": running.url("memsys_app", "memsys"),
        "DATABASE_OWNER_URL": running.url("memsys_owner", "memsys"),
    }


async def test_of_several_servers_that_are_all_away_each_is_named() -> None:
    url = "postgresql://memsys_app:secret@127.0.0.1:1,127.0.0.1:2,[::1]:3/memsys"
    async with _running(DATABASE_URL=url) as (application, client):
        await until("it has tried", lambda: "PostgreSQL at" in application.state.runtime.waiting_for)
        detail = (await client.get("/readyz")).json()["detail"]
        assert "127.0.0.1:1, 127.0.0.1:2, ::1:3" in detail
        assert "secret" not in detail


async def test_a_start_that_fails_unforeseen_is_told_and_tried_again(
    dsn: Dsn, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken = Mock(side_effect=RuntimeError("unforeseen"))
    monkeypatch.setattr(runtime, "_STUCK_SECONDS", 0.05)
    with monkeypatch.context() as patch:
        patch.setattr(migrate, "migrate", AsyncMock(side_effect=DatabaseUnavailable("it is away")))
        patch.setattr(runtime, "address", broken)
        async with _running(DATABASE_URL=dsn.app, DATABASE_OWNER_URL=dsn.owner) as (application, client):
            await until("it was tried again", lambda: broken.call_count > 1)
            assert "RuntimeError" in (await client.get("/readyz")).json()["detail"]
            assert "start failed" in caplog.text
            patch.undo()
            await until("it is ready", lambda: application.state.runtime.service is not None)


async def test_it_starts_before_its_database_and_says_what_it_waits_for(own_server: Server) -> None:
    own_server.stop()
    async with _running(**_urls(own_server)) as (application, client):
        assert (await client.get("/healthz")).status_code == 200
        await until("it has tried", lambda: "PostgreSQL" in application.state.runtime.waiting_for)
        ready = await client.get("/readyz")
        assert ready.status_code == 503
        assert f"PostgreSQL at 127.0.0.1:{own_server.port}" in ready.json()["detail"]
        assert "secret" not in ready.text
        asked = await client.post("/memories", json={"text": "x"})
        assert (asked.status_code, asked.headers["retry-after"]) == (503, "1")
        assert asked.json()["type"].endswith("/not-ready")
        assert (await client.get("/metrics")).status_code == 200
        own_server.start()

        async def is_ready() -> bool:
            return (await client.get("/readyz")).status_code == 200

        await until("it is ready", is_ready)
        assert (await client.post("/memories", json={"text": "x"})).status_code == 200


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT])
async def test_it_serves_again_within_five_seconds_of_its_database_s_return(
    own_server: Server, how: signal.Signals
) -> None:
    async with _running(**_urls(own_server)) as (application, client):
        await until("it is ready", lambda: application.state.runtime.service)
        assert (await client.post("/memories", json={"text": "before"})).status_code == 200
        own_server.stop(how)
        for _ in range(5):
            away = await client.post("/memories", json={"text": "during"})
            assert (away.status_code, away.headers["retry-after"]) == (503, "1")
        assert (await client.get("/readyz")).status_code == 503
        assert (await client.get("/healthz")).status_code == 200
        own_server.start()

        async def serves() -> bool:
            return (await client.post("/memories", json={"text": "after"})).status_code == 200

        await until("it serves again", serves, 5)
        memories = [m["memory"] for m in (await client.get("/memories")).json()["results"]]
        assert memories == ["after", "before"]


async def test_broken_connections_are_replaced(api: Replica, dsn: Dsn) -> None:
    async def serves() -> bool:
        answers = await asyncio.gather(*(api.client.get("/memories") for _ in range(8)))
        return {a.status_code for a in answers} == {200}

    with psycopg.connect(dsn.superuser, autocommit=True) as conn:
        for _ in range(3):
            conn.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'memsys_app'")
            await until("it serves again", serves, 5)


async def test_a_statement_that_takes_too_long_is_given_up(fleet: Fleet) -> None:
    async with fleet.replica(DATABASE_TIMEOUT_SECONDS=0.3) as api:
        [added] = await api.add("locked")
        url = fleet.dsn.superuser
        async with await psycopg.AsyncConnection.connect(url) as other:
            await other.execute("SELECT FROM memory_versions FOR UPDATE")
            answer = await api.client.put(f"/memories/{added['id']}", json={"text": "x"})
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert (await api.client.put(f"/memories/{added['id']}", json={"text": "x"})).status_code == 200


async def test_many_at_once_are_all_served(api: Replica) -> None:
    answers = await asyncio.gather(*(api.client.post("/memories", json={"text": f"note {n}"}) for n in range(100)))
    assert {a.status_code for a in answers} == {200}


async def test_metrics_count_requests_by_route_and_name_nothing_private(api: Replica) -> None:
    [added] = await api.add("xyzzy", user_id="plugh")
    await api.client.get(f"/memories/{added['id']}")
    await api.client.get("/memories/x")
    text = (await api.client.get("/metrics")).text
    route = 'memsys_api_requests_total{method="GET",route="/memories/{memory_id}",status="%s"}'
    assert route % 200 in text
    assert route % 400 in text
    assert "memsys_api_request_seconds_bucket" in text
    assert "memsys_api_database_pool" in text
    assert not {"xyzzy", "plugh", added["id"]} & set(text.replace('"', " ").split())


async def test_every_answer_carries_the_request_s_id_and_logs_carry_it_too(
    api: Replica, caplog: pytest.LogCaptureFixture
) -> None:
    formatted: list[dict[str, object]] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            formatted.append(json.loads(logs.JsonFormatter().format(record)))

    handler = Collect()
    logger = logging.getLogger("memsys_api")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        given = await api.client.post("/memories", json={"text": "xyzzy"}, headers={"X-Request-ID": "abc-1"})
        await api.client.post("/search", json={"query": "plugh"}, headers={"X-Request-ID": "bad id\n"[:6]})
        unknown = await api.client.get("/nowhere")
    finally:
        logger.removeHandler(handler)
    assert given.headers["x-request-id"] == "abc-1"
    assert len(unknown.headers["x-request-id"]) == 32
    assert [e for e in formatted if e.get("request_id") == "abc-1" and e["message"] == "request"]
    everything = json.dumps(formatted)
    for private in ("xyzzy", "plugh", ADMIN_KEY, "secret"):
        assert private not in everything


async def test_a_fault_inside_is_a_problem_without_its_details(api: Replica, caplog: pytest.LogCaptureFixture) -> None:
    api.embedder.fault = RuntimeError("inner workings")
    answer = await api.client.post("/memories", json={"text": "x"})
    assert answer.status_code == 500
    assert answer.json()["type"].endswith("/internal")
    assert "inner workings" not in answer.text
    assert "x-request-id" in answer.headers


async def test_info_tells_what_the_server_is_made_of(api: Replica) -> None:
    info = (await api.client.get("/info")).json()
    assert info["embedder"] == {
        "provider": "test", "model": "words", "dimensions": 64, "precision": "halfvec", "index": "auto"
    }  # fmt: skip
    assert info["graph"] == {"provider": "none", "available": False}
    assert info["llm"] == {
        "provider": "none", "model": None, "available": False, "retry_after": None, "last_error": None,
        "pending": 0, "parked": 0,
    }  # fmt: skip


async def test_openapi_describes_every_problem_and_what_is_really_answered(api: Replica) -> None:
    schema = (await api.client.get("/openapi.json")).json()
    slugs = {kind.slug for kind in problems.KINDS}
    assert len(slugs) == len(problems.KINDS)
    for path, operations in schema["paths"].items():
        for operation in operations.values():
            assert operation.get("description") or operation.get("summary"), path
            assert "422" not in operation["responses"]
            if path not in ("/healthz", "/readyz", "/metrics"):
                assert {"400", "401", "403", "413", "500", "503"} <= operation["responses"].keys(), path
            for status, response in operation["responses"].items():
                if int(status) >= 400:
                    [content] = response["content"].values()
                    assert content["schema"]["$ref"].endswith("/Problem")
    [added] = await api.add("described", user_id="u", metadata={"a": 1})
    memory_path = f"/memories/{added['id']}"
    for name, answer in (
        ("MemoryDetail", await api.client.get(memory_path)),
        ("MemoryPage", await api.client.get("/memories")),
        ("SearchResults", await api.client.post("/search", json={"query": "described", "explain": True})),
        ("AddResults", await api.client.post("/memories", json={"text": "x"})),
        ("NewKey", await api.client.post("/keys", json={"name": "k", "projects": ["default"]})),
        ("GraphStatus", await api.client.get("/graph/status")),
        ("GraphSync", await api.client.post("/graph/sync")),
        ("GraphDrift", await api.client.get("/graph/drift")),
        ("Info", await api.client.get("/info")),
        ("Problem", await api.client.get("/memories?x=1")),
    ):
        described = {"$ref": f"#/components/schemas/{name}", "components": schema["components"]}
        Draft202012Validator(described).validate(answer.json())
        declared = set(schema["components"]["schemas"][name]["properties"])
        assert set(answer.json()) <= declared, name
