"""The whole way from the API to a real Neo4j: whatever happened, the graph is the one that a rebuild makes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import neo4j
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from memsys_api.model import SinkRecord
from memsys_api.sinks.dispatcher import Dispatcher
from memsys_api.sinks.graph import Neo4jSink
from tests.support.neo4j_server import Neo4jServer

from ..conftest import Fleet, Replica
from ..support.graph_queue import settled
from ..support.waiting import until
from .support import ANY_NEO4J, snapshot


def _project(api: Replica) -> str:
    return str(api.client.headers["X-Memsys-Project"])


async def _rebuilt(api: Replica) -> dict[str, Any]:
    answer = await api.client.post("/graph/rebuild")
    assert answer.status_code == 202, answer.text
    [state] = answer.json()["results"]

    async def done() -> bool:
        nonlocal state
        [state] = (await api.client.get("/graph/rebuild")).json()["results"]
        return bool(state["state"] == "done")

    await until("the rebuild is done", done, 60)
    return dict(state)


_MET = "We met Anna Keller and Bob Stone in Lisbon."
_TEXTS = st.sampled_from(
    [
        "Anna Keller works at Acme Corp.",
        "ANNA KELLER lives in Lisbon.",
        "Bob Stone works at Acme Corp.",
        "Dr. Bob Stone lives in Lisbon.",
        _MET,
        "nothing of note",
    ]
)
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), _TEXTS),
        st.tuples(st.just("update"), st.integers(0, 5), _TEXTS),
        st.tuples(st.just("delete"), st.integers(0, 5)),
        st.tuples(st.just("deliver")),
        st.tuples(st.just("crash"), st.integers(0, 3)),
        st.tuples(st.just("replay"), st.integers(0, 5)),
        st.tuples(st.just("merge"), st.booleans()),
    ),
    min_size=2,
    max_size=9,
)


class _Crashing:
    """A sink whose process dies when a batch is applied in part, or as a whole without having said so."""

    def __init__(self, sink: Neo4jSink, records: int) -> None:
        self._sink, self._records = sink, records
        self.name = sink.name
        self.prepare = sink.prepare

    async def apply(self, records: Sequence[SinkRecord]) -> dict[UUID, str]:
        await self._sink.apply(records[: self._records])
        raise asyncio.CancelledError


@settings(
    max_examples=6,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=_STEPS)
@example(steps=[("add", _MET), ("deliver",), ("add", "Anna Keller works at Acme Corp."), ("delete", 1)])
def test_any_sequence_gives_the_graph_of_a_rebuild(
    fleet: Fleet,
    server: Neo4jServer,
    steps: list[tuple[Any, ...]],
    runner: asyncio.Runner,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("memsys_api.sinks.dispatcher._LEASE", timedelta(seconds=1))  # what a crash leaves behind
    runner.run(_lived_and_rebuilt(fleet, server, steps))


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as made:
        yield made


async def _lived_and_rebuilt(fleet: Fleet, server: Neo4jServer, steps: list[tuple[Any, ...]]) -> None:
    sink = Neo4jSink(server.uri, server.user, server.password)
    async with fleet.replica(sink=sink, GRAPH_STORE="neo4j", **ANY_NEO4J) as api:  # type: ignore[arg-type]
        assert api.service.graph
        await api.service.graph.dispatcher.stop()  # so that crashes come where the steps say
        api.client.headers["X-Memsys-Project"] = f"test-{uuid4().hex[:12]}"
        ids: list[str] = []
        for step in steps:
            await _take(api, sink, ids, step)
        dispatcher = Dispatcher(api.service.database, sink, api.service.graph.breaker, retry_base=0.02, named=True)
        dispatcher.start()
        await settled(api)
        lived = snapshot(server, _project(api))
        drift = (await api.client.get("/graph/drift")).json()
        assert (drift["missing"], drift["stale"], drift["unexpected"], drift["strays"]) == (0, 0, 0, 0)
        await sink.forget(_project(api), [UUID(memory_id) for memory_id in ids])
        assert not any(snapshot(server, _project(api)).values())
        await _rebuilt(api)
        assert snapshot(server, _project(api)) == lived
        await dispatcher.stop()


async def _take(api: Replica, sink: Neo4jSink, ids: list[str], step: tuple[Any, ...]) -> None:
    client = api.client
    assert api.service.graph
    match step:
        case ("add", text):
            ids.append((await api.add(text, user_id="u"))[0]["id"])
        case ("update", number, text) if ids:
            await client.put(f"/memories/{ids[number % len(ids)]}", json={"text": text})
        case ("delete", number) if ids:
            await client.delete(f"/memories/{ids[number % len(ids)]}")
        case ("replay", number) if ids:
            await client.post("/graph/sync", params={"memory_id": ids[number % len(ids)]})
        case ("merge", True):
            await client.post("/entities/merge", json={"from": "bob stone", "into": "anna keller"})
        case ("merge", False):
            await client.post("/entities/unmerge", json={"from": "bob stone"})
        case ("deliver",):
            await _drained(Dispatcher(api.service.database, sink, api.service.graph.breaker, named=True))
        case ("crash", records):
            dying = _Crashing(sink, records)
            with suppress(asyncio.CancelledError):
                await _drained(Dispatcher(api.service.database, dying, api.service.graph.breaker, named=True))


async def _drained(dispatcher: Dispatcher) -> None:
    async for _ in dispatcher.drain():
        pass


async def test_a_rebuild_mends_whatever_was_done_by_hand_while_searches_go_on(
    api: Replica, server: Neo4jServer
) -> None:
    project = _project(api)
    ids = [(await api.add(f"Anna Keller works at Company{n} Corp.", user_id="u"))[0]["id"] for n in range(5)]
    await api.client.delete(f"/memories/{ids[4]}")
    await settled(api)
    before = snapshot(server, project)
    for edit in (
        "MATCH (m:Memory {project: $p, id: $first}) SET m.text = 'forged', m.version = 99",
        "MATCH (m:Memory {project: $p, id: $second}) DETACH DELETE m",
        "MATCH (t:Tombstone {project: $p}) DELETE t",
        "CREATE (:Memory {project: $p, id: $ghost, version: 1, text: 'never said'})-[:MENTIONS]->"
        "(:Entity {project: $p, key: 'ghost', name: 'Ghost', kind: 'person'})",
        "CREATE (:Entity {project: $p, key: 'alone', name: 'Alone', kind: 'entity'})",
    ):
        _by_hand(server, edit, p=project, first=ids[0], second=ids[1], ghost=str(uuid4()))
    assert snapshot(server, project) != before
    searching = asyncio.create_task(_search_all_the_time(api))
    state = await _rebuilt(api)
    searching.cancel()
    assert (state["queued"], state["error"]) == (5, None)
    assert state["removed"] >= 3  # the forged memory, the one never said, what stood alone
    assert snapshot(server, project) == before


@pytest.mark.parametrize("by", ["a rebuild", "a sync"])
async def test_names_that_look_newer_than_any_of_postgres_give_way(api: Replica, server: Neo4jServer, by: str) -> None:
    """As they do after PostgreSQL was restored from a backup."""
    project = _project(api)
    ids = [(await api.add(f"Anna Keller works at Company{n} Corp.", user_id="u"))[0]["id"] for n in range(2)]
    await settled(api)
    before = snapshot(server, project)
    _by_hand(
        server,
        "MATCH (e:Entity {project: $p, key: 'anna keller'}) SET e.name = 'Later', e.kind = 'ghost', e.revision = 1e12",
        p=project,
    )
    assert (await api.client.get("/graph/drift")).json()["stale"] == 2
    if by == "a rebuild":
        await _rebuilt(api)
    else:
        await api.client.post("/graph/sync", params={"memory_id": ids[0]})
    await settled(api)
    assert snapshot(server, project) == before


async def _search_all_the_time(api: Replica) -> None:
    while True:
        assert await api.search("Where does Anna Keller work?", user_id="u")
        await asyncio.sleep(0.02)


async def test_what_neo4j_refuses_is_parked_alone_and_cleared_by_a_sync_once_the_cause_is_gone(
    api: Replica, server: Neo4jServer
) -> None:
    """The cause is one that an operator of Neo4j may well make: a constraint of their own."""
    project = _project(api)
    first = (await api.add("one of a kind", app_id="poison"))[0]["id"]
    await settled(api)
    _by_hand(server, "CREATE CONSTRAINT by_hand FOR (m:Memory) REQUIRE (m.app_id, m.text) IS UNIQUE")
    try:
        turns = [{"role": "user", "content": text} for text in ("before", "one of a kind", "after")]
        before, poisoned, after = (one["id"] for one in await api.add(turns, app_id="poison"))
        await settled(api, parked=1)
        held = {row[0] for row in snapshot(server, project)["memories"]}
        assert held == {first, before, after}
        status = (await api.client.get("/graph/status")).json()
        assert status["available"] is True
        assert "ConstraintValidationFailed" in status["last_error"]
        still = (await api.client.post("/graph/sync")).json()
        assert (still["requeued"], still["applied"], still["parked"]) == (1, 0, 1)
        await settled(api, parked=1)
    finally:
        _by_hand(server, "DROP CONSTRAINT by_hand")
    assert (await api.client.post("/graph/sync")).json()["requeued"] == 1
    await settled(api)
    assert {row[0] for row in snapshot(server, project)["memories"]} == {first, before, poisoned, after}


async def test_without_a_graph_there_is_nothing_to_rebuild(fleet: Fleet) -> None:
    async with fleet.replica() as bare:
        refused = await bare.client.post("/graph/rebuild")
        assert (refused.status_code, refused.json()["type"].rsplit("/", 1)[1]) == (501, "not-supported")
        assert "GRAPH_STORE" in refused.json()["detail"]
        assert (await bare.client.get("/graph/rebuild")).json() == {"results": []}


def _by_hand(server: Neo4jServer, statement: Any, **parameters: Any) -> None:
    with neo4j.GraphDatabase.driver(server.uri, auth=(server.user, server.password)) as driver:
        driver.execute_query(statement, parameters)
