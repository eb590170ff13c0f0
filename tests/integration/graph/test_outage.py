"""A Neo4j that is away, slow or locked: noticed soon, said clearly, and nothing half-applied."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import neo4j
import pytest

from memsys_api.model import Scope
from memsys_api.ports import SinkUnavailable
from memsys_api.sinks.graph import Neo4jSink
from memsys_operator.sync import REFUSED
from tests.support.neo4j_server import Neo4jServer, free_port

from .support import record, snapshot


async def test_nothing_listens() -> None:
    sink = Neo4jSink(f"bolt://127.0.0.1:{free_port()}", "neo4j", "secret")
    started = time.monotonic()
    assert not await sink.available()
    with pytest.raises(SinkUnavailable, match=r"bolt://127\.0\.0\.1"):
        await sink.apply([record("p", 0)])
    assert time.monotonic() - started < 15
    await sink.close()


async def test_wrong_password_names_the_setting(server: Neo4jServer) -> None:
    sink = Neo4jSink(server.uri, "neo4j", "not the password")
    assert not await sink.available()
    with pytest.raises(SinkUnavailable, match="NEO4J_PASSWORD") as caught:
        await sink.neighbours(Scope("p"), ["a"], 1)
    assert "not the password" not in str(caught.value)
    assert REFUSED in str(caught.value), "the operator tells by it what is to be done"
    await sink.close()


async def test_a_wrong_password_is_one_however_often_it_was_tried(server: Neo4jServer) -> None:
    """Neo4j answers something else after three attempts. No memory is at fault, so none must be parked for that."""
    with neo4j.GraphDatabase.driver(server.uri, auth=(server.user, server.password)) as driver:
        driver.execute_query("CREATE USER other SET PASSWORD 'the right password' CHANGE NOT REQUIRED")
    sink = Neo4jSink(server.uri, "other", "not the password")
    for number in range(6):
        with pytest.raises(SinkUnavailable, match=REFUSED):
            await sink.apply([record("p", number)])
    await sink.close()


@pytest.fixture
def paused(server: Neo4jServer) -> Iterator[Neo4jServer]:
    yield server
    server.resume()


async def test_a_server_that_hangs_is_given_up(
    sink: Neo4jSink, paused: Neo4jServer, project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sink.apply([record(project, 1)])  # what is slow because it is the first time is not what this is about
    monkeypatch.setattr("memsys_api.sinks.graph.neo4j_sink.APPLY_SECONDS", 1.0)
    monkeypatch.setattr("memsys_api.sinks.graph.neo4j_sink.ASK_SECONDS", 1.0)
    paused.pause()
    with pytest.raises(SinkUnavailable, match="did not answer"):
        await sink.apply([record(project, 0, entities=["anna"])])
    assert not await sink.available()
    paused.resume()
    monkeypatch.setattr("memsys_api.sinks.graph.neo4j_sink.APPLY_SECONDS", 30.0)
    monkeypatch.setattr("memsys_api.sinks.graph.neo4j_sink.ASK_SECONDS", 30.0)
    assert await sink.available()
    await sink.apply([record(project, 0, entities=["anna"])])
    assert len(snapshot(paused, project)["memories"]) == 2


async def test_a_question_goes_on_when_its_asker_left(sink: Neo4jSink, paused: Neo4jServer, project: str) -> None:
    """What an impatient caller breaks off would otherwise never be planned, nor answered in time."""
    await sink.apply([record(project, 0, entities=["anna"])])
    paused.pause()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await sink.neighbours(Scope(project), ["anna"], 1)
    left, *_ = [task for task in asyncio.all_tasks() if task.get_name() == "graph-neighbours"]
    paused.resume()
    assert len(await left) == 1
