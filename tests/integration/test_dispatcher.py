"""From PostgreSQL to a sink: nothing lost, nothing twice, nothing out of order, whatever fails on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID, uuid4

import psycopg
import pytest

from memsys_api.flows import feeding
from memsys_api.model import SinkRecord
from memsys_api.sinks.attempts import ATTEMPTS
from memsys_api.sinks.breaker import Breaker
from memsys_api.sinks.dispatcher import Dispatcher
from memsys_api.store import deliveries
from memsys_api.store.database import DatabaseUnavailable

from .conftest import Dsn, Fleet, Replica
from .support.graph_queue import settled, status
from .support.parts import MemorySink
from .support.waiting import until


async def test_what_is_acknowledged_arrives_with_its_entities(graphed: Replica) -> None:
    assert graphed.sink
    [added] = await graphed.add("We met Alice and Bob in Lisbon", user_id="u")
    await settled(graphed)
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
    await settled(graphed)
    held = graphed.sink.held["default", memory_id]
    assert held.memory
    assert (held.memory.text, held.version) == ("three", 3)
    await graphed.client.delete(path)
    await settled(graphed)
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
    await settled(graphed, parked=30)  # seven attempts each, then parked
    seen = await status(graphed)
    assert seen["available"] is False
    assert seen["last_error"] == "connection refused"
    assert seen["lag_seconds"] > 0  # type: ignore[operator]
    assert await graphed.search("note 5", user_id="u")
    sink.away = False
    await settled(graphed)  # by itself
    assert sink.batches[0] <= 25  # one that has just come back may be slow
    assert sink.live() == {UUID(a["id"]) for a in added} - {UUID(added[1]["id"])}
    seen = await status(graphed)
    assert (seen["available"], seen["last_error"]) == (True, None)


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
            return "cannot be prepared: ValueError" in str((await status(api))["last_error"])

        await until("the queue says why", said)
        await until("it was tried again", lambda: tries > 2)
        ready.set()
        await settled(api)
        assert len(sink.held) == 2


async def test_what_waits_for_a_sink_that_is_known_to_be_away_is_not_read(
    graphed: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = graphed.sink
    assert sink
    sink.away = True
    await graphed.add("the first to find out")
    await settled(graphed, parked=1)
    read: list[object] = []

    async def reading(*what: object) -> dict[UUID, SinkRecord]:
        read.append(what)
        return {}

    monkeypatch.setattr("memsys_api.sinks.dispatcher.newest", reading)
    for n in range(3):
        await graphed.add(f"note {n}")
    await settled(graphed, parked=4)
    assert read == []
    assert (await status(graphed))["last_error"] == "connection refused"
    monkeypatch.undo()
    sink.away = False
    await settled(graphed)
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
    await settled(graphed, parked=1)
    monkeypatch.setattr(deliveries, "requeue_away", once_away)
    graphed.sink.away = False
    await until("PostgreSQL has missed it", missed.is_set)
    await settled(graphed)


async def test_what_is_parked_as_away_after_the_sink_is_known_to_be_back_is_delivered(
    graphed: Replica, dsn: Dsn
) -> None:
    """By a worker that waited for an answer until long after others had theirs."""
    assert graphed.sink
    [added] = await graphed.add("note", user_id="u")
    await settled(graphed)
    graphed.sink.held.clear()
    with psycopg.connect(dsn.superuser) as conn:
        conn.execute(
            "INSERT INTO deliveries (project, sink, memory_id, version, state, cause, attempts)"
            " VALUES ('default', 'graph', %s, 1, 'parked', 'away', 7)",
            (added["id"],),
        )
    await settled(graphed)
    assert graphed.sink.live() == {UUID(added["id"])}


async def test_a_poisoned_record_is_parked_after_seven_attempts_and_holds_nothing_back(
    graphed: Replica, dsn: Dsn
) -> None:
    sink = graphed.sink
    assert sink
    sink.poison = lambda r: "does not fit" if r.memory and "poison" in r.memory.text else None
    turns = [{"role": "user", "content": text} for text in ("good", "poison", "fine")]
    good, poison, fine = (UUID(r["id"]) for r in await graphed.add(turns))
    await settled(graphed, parked=1)
    assert sink.live() == {good, fine}
    with psycopg.connect(dsn.superuser) as conn:
        row = conn.execute("SELECT memory_id, cause, attempts, error FROM deliveries").fetchone()
    assert row == (poison, "record", ATTEMPTS, "does not fit")
    assert (await status(graphed))["lag_seconds"] == 0  # it does not follow by itself, and nothing else waits
    sink.away = True
    await until("the API sees it away", lambda: graphed.service.graph and not graphed.service.graph.breaker.closed)
    sink.away = False
    await until("the API sees it back", lambda: graphed.service.graph and graphed.service.graph.breaker.closed)
    await settled(graphed, parked=1)  # its return cures only what waited for it
    still = (await graphed.client.post("/graph/sync")).json()
    assert (still["requeued"], still["applied"], still["pending"], still["parked"]) == (1, 0, 0, 1)
    sink.poison = lambda r: None
    synced = (await graphed.client.post("/graph/sync")).json()
    assert (synced["requeued"], synced["pending"], synced["parked"]) == (1, 0, 0)
    await settled(graphed)
    assert sink.live() == {good, poison, fine}


async def test_a_batch_that_fails_as_a_whole_is_taken_apart(graphed: Replica) -> None:
    sink = graphed.sink
    assert sink
    sink.breaks_on = lambda r: bool(r.memory) and r.memory is not None and r.memory.text == "note 13"
    turns = [{"role": "user", "content": f"note {n}"} for n in range(40)]
    ids = [UUID(r["id"]) for r in await graphed.add(turns)]
    await settled(graphed, parked=1)
    assert sink.live() == set(ids) - {ids[13]}
    assert (await status(graphed))["last_error"] == "ValueError"


async def test_a_newer_version_takes_the_place_of_a_parked_one(graphed: Replica) -> None:
    sink = graphed.sink
    assert sink
    sink.poison = lambda r: "too long" if r.memory and r.memory.text == "bad" else None
    [added] = await graphed.add("bad")
    await settled(graphed, parked=1)
    await graphed.client.put(f"/memories/{added['id']}", json={"text": "better"})
    await settled(graphed)
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
    await settled(graphed)
    assert sink.held["default", UUID(added["id"])].version == 2


async def test_replicas_share_the_work_and_apply_each_version_once(fleet: Fleet) -> None:
    sink = MemorySink()
    async with fleet.replica(sink=sink) as one, fleet.replica(sink=sink) as two:
        turns = [{"role": "user", "content": f"note {n}"} for n in range(100)]
        results = await asyncio.gather(*(r.add(turns) for r in (one, two) * 4))
        await settled(one)
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
        assert [applied async for applied in dispatcher.drain()] == []  # the lease still stands
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
    await settled(graphed)
    assert sink.applied == [(memory_id, 1), (memory_id, 1)]


async def test_metrics_show_what_waits(graphed: Replica) -> None:
    sink = graphed.sink
    assert sink
    sink.poison = lambda r: "no"
    await graphed.add("note")
    await settled(graphed, parked=1)

    async def shown() -> bool:
        return 'memsys_sink_parked{sink="graph"} 1.0' in (await graphed.client.get("/metrics")).text

    await until("the parked delivery shows in the metrics", shown)
    text = (await graphed.client.get("/metrics")).text
    assert 'memsys_sink_deliveries_total{outcome="record",sink="graph"}' in text


class _Hanging(MemorySink):
    """Applies one batch, and never comes to an end with the next."""

    async def apply(self, records: Sequence[SinkRecord]) -> dict[UUID, str]:
        if self.batches:
            await asyncio.Event().wait()
        return await super().apply(records)


@pytest.mark.parametrize("path", ["/graph/sync", "/sinks/graph/sync"])
async def test_a_sync_drives_the_projects_of_its_key_and_no_more(fleet: Fleet, path: str) -> None:
    async with fleet.replica(sink=MemorySink()) as api:
        made = await api.client.post("/keys", json={"name": "a", "projects": ["a"], "rights": ["read", "write"]})
        assert api.service.graph
        await api.service.graph.dispatcher.stop()
        for project, count in (("b", 3), ("a", 2)):
            for number in range(count):
                body = {"text": f"note {number}"}
                await api.client.post("/memories", json=body, headers={"X-Memsys-Project": project})
        async with api.as_key(made.json()["key"]) as a:
            api.service.graph.breaker.reset()
            first, again = [(await a.post(path)).json() for _ in range(2)]
        assert [(one["applied"], one["pending"]) for one in (first, again)] == [(2, 0), (0, 0)]
        everywhere = (await api.client.post(path)).json()  # the admin key alone
        assert (everywhere["applied"], everywhere["pending"]) == (3, 0)


async def test_a_sync_that_runs_out_of_time_says_what_it_has_applied(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeding, "DRIVE_SECONDS", 1.0)
    monkeypatch.setattr(feeding, "OTHERS_SECONDS", 0.1)
    async with fleet.replica(sink=_Hanging()) as api:
        assert api.service.graph
        await api.service.graph.dispatcher.stop()
        await api.add([{"role": "user", "content": f"note {number}"} for number in range(60)])
        api.service.graph.breaker.reset()
        said = (await api.client.post("/graph/sync")).json()
        assert said["applied"] == 60 - said["pending"] > 0


@pytest.mark.parametrize("cause", ["away", "record"])
async def test_more_than_a_statement_has_time_for_is_made_due_again(
    fleet: Fleet, dsn: Dsn, monkeypatch: pytest.MonkeyPatch, cause: str
) -> None:
    """After a long outage, by the return of the sink and by a sync."""
    monkeypatch.setattr(deliveries, "REQUEUED", 100)
    with psycopg.connect(dsn.superuser) as conn:
        conn.execute(
            "INSERT INTO deliveries (project, sink, memory_id, version, state, cause, attempts)"
            " SELECT 'p', 'graph', gen_random_uuid(), 1, 'parked', %s, 7 FROM generate_series(1, 1000)",
            (cause,),
        )
        conn.execute(
            "CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN PERFORM pg_sleep(0.003); RETURN NEW; END'"
        )
        conn.execute(
            "CREATE TRIGGER slowly BEFORE UPDATE ON deliveries FOR EACH ROW WHEN (OLD.state = 'parked')"
            " EXECUTE FUNCTION slowly()"
        )
    async with fleet.replica(sink=MemorySink(), DATABASE_TIMEOUT_SECONDS=2) as api:
        if cause == "record":
            assert (await api.client.post("/graph/sync")).json()["requeued"] == 1000
        await until("the graph is used", lambda: api.service.graph and api.service.graph.breaker.closed, 30)
        await settled(api)
