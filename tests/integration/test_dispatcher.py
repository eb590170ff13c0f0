"""From PostgreSQL to a sink: nothing lost, nothing twice, nothing out of order, whatever fails on the way."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

import psycopg
import pytest

from memsys_api.model import SinkRecord
from memsys_api.sinks.attempts import ATTEMPTS
from memsys_api.sinks.breaker import Breaker
from memsys_api.sinks.dispatcher import Dispatcher
from memsys_api.store import deliveries
from memsys_api.store.database import DatabaseUnavailable

from .conftest import Dsn, Fleet, Replica
from .support.parts import MemorySink
from .support.waiting import until


async def _status(api: Replica) -> dict[str, object]:
    status: dict[str, object] = (await api.client.get("/graph/status")).json()
    return status


async def _settled(api: Replica, pending: int = 0, parked: int = 0) -> None:
    async def as_expected() -> bool:
        status = await _status(api)
        return (status["pending"], status["parked"]) == (pending, parked)

    await until(f"{pending} pending and {parked} parked", as_expected, 30)


async def test_what_is_acknowledged_arrives_with_its_entities(graphed: Replica) -> None:
    assert graphed.sink
    [added] = await graphed.add("We met Alice and Bob in Lisbon", user_id="u")
    await _settled(graphed)
    record = graphed.sink.held["default", UUID(added["id"])]
    assert record.memory
    assert (record.memory.text, record.version) == ("We met Alice and Bob in Lisbon", 1)
    assert {"alice", "bob", "lisbon"} <= {e.key for e in record.extraction.entities}


async def test_changes_and_deletions_follow_in_order(graphed: Replica) -> None:
    assert graphed.sink
    [added] = await graphed.add("one")
    path, memory_id = f"/memories/{added['id']}", UUID(added["id"])
    for text in ("two", "three"):
        await graphed.client.put(path, json={"text": text})
    await _settled(graphed)
    held = graphed.sink.held["default", memory_id]
    assert held.memory
    assert (held.memory.text, held.version) == ("three", 3)
    await graphed.client.delete(path)
    await _settled(graphed)
    assert graphed.sink.held["default", memory_id] == SinkRecord("default", memory_id, 4, None)
    versions = [v for i, v in graphed.sink.applied if i == memory_id]
    assert versions == sorted(set(versions))


async def test_while_the_sink_is_away_writes_go_on_and_all_of_it_arrives_when_it_is_back(graphed: Replica) -> None:
    sink = graphed.sink
    assert sink
    sink.away = True
    added = [(await graphed.add(f"note {n}", user_id="u"))[0] for n in range(30)]
    await graphed.client.put(f"/memories/{added[0]['id']}", json={"text": "changed"})
    await graphed.client.delete(f"/memories/{added[1]['id']}")
    await _settled(graphed, parked=30)  # seven attempts each, then parked
    status = await _status(graphed)
    assert status["available"] is False
    assert status["last_error"] == "connection refused"
    assert status["lag_seconds"] > 0  # type: ignore[operator]
    assert await graphed.search("note 5", user_id="u")
    sink.away = False
    await _settled(graphed)  # by itself
    assert sink.batches[0] <= 25  # one that has just come back may be slow
    assert sink.live() == {UUID(a["id"]) for a in added} - {UUID(added[1]["id"])}
    status = await _status(graphed)
    assert (status["available"], status["last_error"]) == (True, None)


async def test_a_sink_that_cannot_be_prepared_is_no_fault_of_a_record(fleet: Fleet) -> None:
    sink = MemorySink()
    ready, tries = asyncio.Event(), 0

    async def prepare() -> None:
        nonlocal tries
        tries += 1
        if not ready.is_set():
            raise ValueError("the schema is in the way")

    sink.prepare = prepare  # type: ignore[method-assign]
    async with fleet.replica(sink=sink, GRAPH_RETRY_BASE_SECONDS=0.01) as api:
        for text in ("one", "two"):
            await api.add(text)

        async def said() -> bool:
            return "cannot be prepared: ValueError" in str((await _status(api))["last_error"])

        await until("the queue says why", said)
        await until("it was tried again", lambda: tries > 2)
        ready.set()
        await _settled(api)
        assert len(sink.held) == 2


async def test_what_waits_for_a_sink_that_is_known_to_be_away_is_not_read(
    graphed: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = graphed.sink
    assert sink
    sink.away = True
    await graphed.add("the first to find out")
    await _settled(graphed, parked=1)
    read: list[object] = []

    async def reading(*what: object) -> dict[UUID, SinkRecord]:
        read.append(what)
        return {}

    monkeypatch.setattr("memsys_api.sinks.dispatcher.newest", reading)
    for n in range(3):
        await graphed.add(f"note {n}")
    await _settled(graphed, parked=4)
    assert read == []
    assert (await _status(graphed))["last_error"] == "connection refused"
    monkeypatch.undo()
    sink.away = False
    await _settled(graphed)
    assert len(sink.live()) == 4


async def test_a_return_that_postgres_misses_is_made_up_for(graphed: Replica, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sink answers again, and just then PostgreSQL does not."""
    assert graphed.sink
    requeue, missed = deliveries.requeue_away, asyncio.Event()

    async def once_away(*arguments: object, **more: bool) -> int:
        if not missed.is_set():
            missed.set()
            raise DatabaseUnavailable("the database system is starting up")
        return await requeue(*arguments, **more)  # type: ignore[arg-type]

    graphed.sink.away = True
    await graphed.add("note", user_id="u")
    await _settled(graphed, parked=1)
    monkeypatch.setattr(deliveries, "requeue_away", once_away)
    graphed.sink.away = False
    await until("PostgreSQL has missed it", missed.is_set)
    await _settled(graphed)


async def test_what_is_parked_as_away_after_the_sink_is_known_to_be_back_is_delivered(
    graphed: Replica, dsn: Dsn
) -> None:
    """By a worker that waited for an answer until long after others had theirs."""
    assert graphed.sink
    [added] = await graphed.add("note", user_id="u")
    await _settled(graphed)
    graphed.sink.held.clear()
    with psycopg.connect(dsn.superuser) as conn:
        conn.execute(
            "INSERT INTO deliveries (project, sink, memory_id, version, state, cause, attempts)"
            " VALUES ('default', 'graph', %s, 1, 'parked', 'away', 7)",
            (added["id"],),
        )
    await _settled(graphed)
    assert graphed.sink.live() == {UUID(added["id"])}


async def test_a_poisoned_record_is_parked_after_seven_attempts_and_holds_nothing_back(
    graphed: Replica, dsn: Dsn
) -> None:
    sink = graphed.sink
    assert sink
    sink.poison = lambda r: "does not fit" if r.memory and "poison" in r.memory.text else None
    turns = [{"role": "user", "content": text} for text in ("good", "poison", "fine")]
    good, poison, fine = (UUID(r["id"]) for r in await graphed.add(turns))
    await _settled(graphed, parked=1)
    assert sink.live() == {good, fine}
    with psycopg.connect(dsn.superuser) as conn:
        row = conn.execute("SELECT memory_id, cause, attempts, error FROM deliveries").fetchone()
    assert row == (poison, "record", ATTEMPTS, "does not fit")
    sink.away = True
    await until("the API sees it away", lambda: graphed.service.graph and not graphed.service.graph.breaker.closed)
    sink.away = False
    await until("the API sees it back", lambda: graphed.service.graph and graphed.service.graph.breaker.closed)
    await _settled(graphed, parked=1)  # its return cures only what waited for it
    still = (await graphed.client.post("/graph/sync")).json()
    assert (still["requeued"], still["applied"], still["pending"], still["parked"]) == (1, 0, 0, 1)
    sink.poison = lambda r: None
    synced = (await graphed.client.post("/graph/sync")).json()
    assert (synced["requeued"], synced["pending"], synced["parked"]) == (1, 0, 0)
    await _settled(graphed)
    assert sink.live() == {good, poison, fine}


async def test_a_batch_that_fails_as_a_whole_is_taken_apart(graphed: Replica) -> None:
    sink = graphed.sink
    assert sink
    sink.breaks_on = lambda r: bool(r.memory) and r.memory is not None and r.memory.text == "note 13"
    turns = [{"role": "user", "content": f"note {n}"} for n in range(40)]
    ids = [UUID(r["id"]) for r in await graphed.add(turns)]
    await _settled(graphed, parked=1)
    assert sink.live() == set(ids) - {ids[13]}
    assert (await _status(graphed))["last_error"] == "ValueError"


async def test_a_newer_version_takes_the_place_of_a_parked_one(graphed: Replica) -> None:
    sink = graphed.sink
    assert sink
    sink.poison = lambda r: "too long" if r.memory and r.memory.text == "bad" else None
    [added] = await graphed.add("bad")
    await _settled(graphed, parked=1)
    await graphed.client.put(f"/memories/{added['id']}", json={"text": "better"})
    await _settled(graphed)
    assert sink.live() == {UUID(added["id"])}


async def test_a_change_while_its_predecessor_is_being_applied_is_neither_lost_nor_early(graphed: Replica) -> None:
    sink = graphed.sink
    assert sink
    sink.hold = asyncio.Event()
    [added] = await graphed.add("one")
    await until("the first version is being applied", lambda: sink.batches)
    await graphed.client.put(f"/memories/{added['id']}", json={"text": "two"})
    batches = len(sink.batches)
    assert graphed.service.graph
    assert (
        await deliveries.claim(graphed.service.database, "graph", uuid4(), 10, timedelta(seconds=60), most=ATTEMPTS)
        == []
    )
    assert len(sink.batches) == batches
    sink.hold.set()
    await _settled(graphed)
    assert sink.held["default", UUID(added["id"])].version == 2


async def test_replicas_share_the_work_and_apply_each_version_once(fleet: Fleet) -> None:
    sink = MemorySink()
    async with fleet.replica(sink=sink) as one, fleet.replica(sink=sink) as two:
        turns = [{"role": "user", "content": f"note {n}"} for n in range(100)]
        results = await asyncio.gather(*(r.add(turns) for r in (one, two) * 4))
        await _settled(one)
    ids = {UUID(r["id"]) for added in results for r in added}
    assert sink.live() == ids
    assert sum(sink.batches) == len(ids)  # not merely deduplicated by the sink


async def test_what_a_dead_replica_held_is_taken_up_when_its_lease_ends(fleet: Fleet) -> None:
    sink = MemorySink()
    async with fleet.replica() as writer:  # no graph here: nothing applies yet
        [added] = await writer.add("orphan")
        async with writer.service.database.transaction("default") as conn:
            await deliveries.enqueue(conn, "default", ["graph"], [(UUID(added["id"]), 1)])
        held = await deliveries.claim(
            writer.service.database, "graph", uuid4(), 10, timedelta(seconds=1), most=ATTEMPTS
        )
        assert len(held) == 1
        dispatcher = Dispatcher(writer.service.database, sink, Breaker("graph"))
        assert await dispatcher.drain() == 0  # the lease still stands
        dispatcher.start()
        try:
            await until("the lease ends and the delivery is applied", sink.live)
        finally:
            await dispatcher.stop()


async def test_a_late_settlement_of_a_lost_lease_changes_nothing(graphed: Replica, dsn: Dsn) -> None:
    """A replica that slept through its lease wakes up after another one has taken over."""
    database = graphed.service.database
    assert graphed.service.graph
    await graphed.service.graph.dispatcher.stop()
    [added] = await graphed.add("contested")
    memory_id = UUID(added["id"])
    stale, current = uuid4(), uuid4()
    [first] = await deliveries.claim(database, "graph", stale, 10, timedelta(0), most=ATTEMPTS)
    [second] = await deliveries.claim(database, "graph", current, 10, timedelta(seconds=60), most=ATTEMPTS)
    assert (first.attempts, second.attempts) == (1, 2)
    failure = deliveries.Failure(first, "record", "from the past", None)
    await deliveries.settle(database, "graph", stale, [(first, SinkRecord("default", memory_id, 1, None))], [failure])
    with psycopg.connect(dsn.superuser) as conn:
        assert conn.execute("SELECT state, lease, error FROM deliveries").fetchone() == ("pending", current, None)


@pytest.mark.parametrize("attempts", range(1, ATTEMPTS + 1))
async def test_waits_double_from_one_second_and_end_after_seven_attempts(graphed: Replica, attempts: int) -> None:
    dispatcher = Dispatcher(graphed.service.database, MemorySink(), Breaker("graph"), retry_base=1)
    claim = deliveries.Claim("default", uuid4(), 1, attempts)
    wait = dispatcher.failure(claim, ValueError("x")).wait
    expected = [1, 2, 4, 8, 16, 32, None][attempts - 1]
    assert wait == (None if expected is None else timedelta(seconds=expected))


async def test_sync_drives_one_memory_even_when_nothing_is_queued(graphed: Replica) -> None:
    sink = graphed.sink
    assert sink
    [added] = await graphed.add("lost by the graph")
    await _settled(graphed)
    sink.held.clear()
    drift = (await graphed.client.get("/graph/drift")).json()
    assert drift["samples"] == [{"project": "default", "memory_id": added["id"], "kind": "missing"}]
    synced = (await graphed.client.post("/graph/sync", params={"memory_id": added["id"]})).json()
    assert synced["pending"] == synced["parked"] == 0
    assert sink.live() == {UUID(added["id"])}
    assert (await graphed.client.get("/graph/drift")).json()["missing"] == 0
    assert (await graphed.client.post("/graph/sync", params={"memory_id": str(uuid4())})).status_code == 404


async def test_drift_is_found_in_both_directions_over_many_pages(graphed: Replica) -> None:
    sink = graphed.sink
    assert sink
    turns = [{"role": "user", "content": f"note {n}"} for n in range(400)]
    ids = [UUID(r["id"]) for part in (turns, turns, turns) for r in await graphed.add(part)]
    await graphed.client.post("/memories", json={"text": "elsewhere"}, headers={"X-Memsys-Project": "other"})
    await _settled(graphed)
    clean = (await graphed.client.get("/graph/drift")).json()
    assert clean == {"provider": "none", "checked": 1201, "ranges": 4, "differing": 0, "missing": 0, "stale": 0,
                     "unexpected": 0, "strays": 0, "complete": True, "cursor": None, "samples": []}  # fmt: skip
    del sink.held["default", ids[5]]
    edited = sink.held["default", ids[600]]
    assert edited.memory
    sink.held["default", ids[700]] = SinkRecord("default", ids[700], 1, edited.memory)  # changed by hand
    ghost = uuid4()
    sink.held["default", ghost] = SinkRecord("default", ghost, 1, edited.memory)
    drift = (await graphed.client.get("/graph/drift")).json()
    assert (drift["missing"], drift["stale"], drift["unexpected"]) == (1, 1, 1)
    assert drift["differing"] < drift["ranges"]  # nothing of another project's range was opened
    assert {(s["kind"], s["memory_id"]) for s in drift["samples"]} == {
        ("missing", str(ids[5])), ("stale", str(ids[700])), ("unexpected", str(ghost)),
    }  # fmt: skip
    for sample in drift["samples"]:
        synced = await graphed.client.post(
            "/graph/sync",
            params={"memory_id": sample["memory_id"]},
            headers={"X-Memsys-Project": sample["project"]},
        )
        assert synced.status_code == 200, synced.text
    assert (await graphed.client.get("/graph/drift")).json() == clean


async def test_a_walk_in_ranges_comes_to_every_memory_once(graphed: Replica) -> None:
    assert graphed.sink
    turns = [{"role": "user", "content": f"note {n}"} for n in range(400)]
    ids = [UUID(r["id"]) for part in (turns, turns, turns) for r in await graphed.add(part)]
    await graphed.client.post("/memories", json={"text": "elsewhere"}, headers={"X-Memsys-Project": "other"})
    await _settled(graphed)
    lost = {str(ids[n]) for n in (3, 700, 1100)}
    for memory_id in lost:
        del graphed.sink.held["default", UUID(memory_id)]
    graphed.sink.stray = 2
    checked, found, cursor, calls = 0, set(), None, 0
    while calls == 0 or cursor is not None:
        params = {"ranges": 1, **({"cursor": cursor} if cursor else {})}
        part = (await graphed.client.get("/graph/drift", params=params)).json()
        assert part["ranges"] <= 1
        assert part["complete"] is (part["cursor"] is None)
        found |= {sample["memory_id"] for sample in part["samples"] if sample["kind"] == "missing"}
        checked, cursor, calls = checked + part["checked"], part["cursor"], calls + 1
    assert (checked, found, calls) == (1201, lost, 4)
    refused = await graphed.client.get("/graph/drift", params={"cursor": "not one"})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, "cursor")


async def test_strays_are_named_by_project_and_swept_by_sync(graphed: Replica) -> None:
    assert graphed.sink
    await graphed.add("note")
    await _settled(graphed)
    graphed.sink.stray = 3
    drift = (await graphed.client.get("/graph/drift")).json()
    assert drift["strays"] == 3
    assert drift["samples"] == [{"project": "default", "memory_id": None, "kind": "stray"}]
    synced = await graphed.client.post("/graph/sync", params={"sweep": True}, headers={"X-Memsys-Project": "default"})
    assert synced.json()["swept"] == 3
    assert (await graphed.client.get("/graph/drift")).json()["strays"] == 0


async def test_a_version_that_postgres_never_reached_gives_way_to_a_sync(graphed: Replica) -> None:
    """As after a restore of PostgreSQL from a backup: the graph is ahead and refuses what is older."""
    sink = graphed.sink
    assert sink
    [added] = await graphed.add("restored")
    memory_id = UUID(added["id"])
    await _settled(graphed)
    sink.held["default", memory_id] = SinkRecord("default", memory_id, 7, None)
    assert (await graphed.client.get("/graph/drift")).json()["missing"] == 1
    await graphed.client.post("/graph/sync", params={"memory_id": added["id"]})
    assert sink.held["default", memory_id].version == 1
    assert (await graphed.client.get("/graph/drift")).json()["missing"] == 0


async def test_what_is_asked_for_again_while_it_is_applied_is_applied_again(graphed: Replica) -> None:
    """At the same version: what it resolves to may have changed after it was read."""
    sink = graphed.sink
    assert sink
    sink.hold = asyncio.Event()
    [added] = await graphed.add("one")
    memory_id = UUID(added["id"])
    await until("the version is being applied", lambda: sink.batches)
    async with graphed.service.database.transaction("default") as conn:
        await deliveries.enqueue(conn, "default", ["graph"], [(memory_id, 1)])
    sink.hold.set()
    await _settled(graphed)
    assert sink.applied == [(memory_id, 1), (memory_id, 1)]


async def test_drift_says_so_when_the_graph_does_not_answer(graphed: Replica) -> None:
    assert graphed.sink
    await graphed.add("note")
    graphed.sink.away = True
    answer = await graphed.client.get("/graph/drift")
    assert answer.status_code == 503
    assert "retry-after" in answer.headers


async def test_metrics_show_what_waits(graphed: Replica) -> None:
    sink = graphed.sink
    assert sink
    sink.poison = lambda r: "no"
    await graphed.add("note")
    await _settled(graphed, parked=1)

    async def shown() -> bool:
        return 'memsys_sink_parked{sink="graph"} 1.0' in (await graphed.client.get("/metrics")).text

    await until("the parked delivery shows in the metrics", shown)
    text = (await graphed.client.get("/metrics")).text
    assert 'memsys_sink_deliveries_total{outcome="record",sink="graph"}' in text
