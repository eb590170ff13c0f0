"""What webhooks are told after a long outage: more than one statement has time for, in order, and nothing twice."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString

import psycopg
import pytest

from memsys_api.store import webhook_deliveries, webhook_replays
from memsys_api.store.database import DatabaseUnavailable

from .conftest import Dsn, Fleet, Replica
from .support.receiver import Answer, Receiver
from .support.waiting import until
from .support.webhooks import LOOPBACK, deliveries, in_state, register, replay

HURRIED = {**LOOPBACK, "DATABASE_TIMEOUT_SECONDS": 1}
MISSED = 60


async def _execute(dsn: Dsn, *statements: LiteralString, values: Sequence[object] = ()) -> None:
    """In a thread: what changes a table waits for transactions that this event loop has to end."""

    def execute() -> None:
        with psycopg.connect(dsn.superuser) as conn:
            for number, statement in enumerate(statements):
                conn.execute(statement, () if number else values)

    await asyncio.to_thread(execute)


async def _park(dsn: Dsn, webhook: dict[str, Any], cause: str) -> None:
    """Versions of six memories in turns, parked, on a database that takes its time to make each of them due."""
    await _execute(
        dsn,
        """INSERT INTO webhook_deliveries (project, webhook_id, event_id, event, memory_id, version, occurred_at, state,
                                           cause, attempts)
           SELECT 'default', %s, i, 'deleted', ('00000000-0000-4000-8000-' || lpad((i %% 6)::text, 12, '0'))::uuid, i,
                  now(), 'parked', %s, 7 FROM generate_series(1, %s) i""",
        "SELECT setval(pg_get_serial_sequence('outbox', 'id'), 1000)",
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM pg_sleep(0.03); RETURN NEW; END $$",
        "CREATE TRIGGER slow BEFORE UPDATE ON webhook_deliveries FOR EACH ROW "
        "WHEN (OLD.state = 'parked') EXECUTE FUNCTION slow()",
        values=(webhook["id"], cause, MISSED),
    )


def _told_once_and_in_order(receiver: Receiver, missed: int) -> None:
    assert len(receiver.calls) == len({call.id for call in receiver.calls})
    versions = defaultdict(list)
    for call in receiver.calls:
        versions[call.data["memory_id"]].append(call.data["version"])
    assert all(told == sorted(told) for told in versions.values())
    assert sum(map(len, versions.values())) == missed


async def test_a_webhook_that_answers_again_is_told_all_it_missed_once_and_in_order(
    fleet: Fleet, receiver: Receiver, dsn: Dsn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_deliveries, "CAUGHT_UP", 7)
    async with fleet.replica(**HURRIED) as one, fleet.replica(**HURRIED):
        webhook = await register(one, receiver.url())
        await _park(dsn, webhook, "away")
        await one.add("Alice likes tea", user_id="u")
        await in_state(one, webhook, "delivered", MISSED + 1)
        _told_once_and_in_order(receiver, MISSED + 1)
        with psycopg.connect(dsn.superuser) as conn:
            assert conn.execute("SELECT count(*) FROM webhook_returns").fetchone() == (0,)


async def test_a_webhook_that_is_switched_on_again_is_told_all_it_missed(
    fleet: Fleet, receiver: Receiver, dsn: Dsn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_deliveries, "CAUGHT_UP", 7)
    async with fleet.replica(**HURRIED) as api:
        webhook = await register(api, receiver.url(), active=False)
        await _park(dsn, webhook, "paused")
        answer = await api.client.patch(f"/webhooks/{webhook['id']}", json={"active": True})
        assert answer.status_code == 200, answer.text
        await in_state(api, webhook, "delivered", MISSED)
        _told_once_and_in_order(receiver, MISSED)


async def test_what_a_replica_left_of_catching_up_another_does(
    fleet: Fleet, receiver: Receiver, dsn: Dsn, monkeypatch: pytest.MonkeyPatch
) -> None:
    caught_up = webhook_deliveries.catch_up

    async def away(*_: Any) -> int | None:
        raise DatabaseUnavailable("it is away")

    monkeypatch.setattr(webhook_deliveries, "catch_up", away)
    async with fleet.replica(**LOOPBACK) as one:
        webhook = await register(one, receiver.url())
        await _park(dsn, webhook, "away")
        await one.add("Alice likes tea", user_id="u")
        await in_state(one, webhook, "delivered", 1)
    monkeypatch.setattr(webhook_deliveries, "catch_up", caught_up)
    async with fleet.replica(**LOOPBACK) as two:
        await in_state(two, webhook, "delivered", MISSED + 1)
        _told_once_and_in_order(receiver, MISSED + 1)


async def test_what_is_parked_anew_while_a_webhook_catches_up_waits_for_its_next_answer(
    fleet: Fleet, receiver: Receiver, dsn: Dsn
) -> None:
    up = True
    receiver.answer = lambda _: Answer() if up else Answer(503)
    async with fleet.replica(**LOOPBACK) as api:
        webhook = await register(api, receiver.url())
        await api.add("Alice likes tea", user_id="u")
        await in_state(api, webhook, "delivered", 1)
        up = False
        await api.add("Alice likes coffee", user_id="u")
        await in_state(api, webhook, "parked", 1)
        with psycopg.connect(dsn.superuser) as conn:
            conn.execute("INSERT INTO webhook_returns VALUES ('default', %s, 'away', now() - interval '1 hour')",
                         (webhook["id"],))  # fmt: skip
        calls = len(receiver.calls)
        await until("it is worked off", lambda: _rows(dsn, "webhook_returns") == 0, 20)
        assert len(receiver.calls) == calls
        await in_state(api, webhook, "parked", 1)


def _rows(dsn: Dsn, table: str) -> int:
    with psycopg.connect(dsn.superuser) as conn:
        row = conn.execute(f"SELECT count(*) FROM {table}").fetchone()
    assert row is not None
    return int(row[0])


async def _pages(api: Replica, webhook: dict[str, Any], **what: Any) -> list[int]:
    """Repeat a replay as its answers say; how many were queued each time."""
    queued = []
    while True:
        answer = await api.client.post(f"/webhooks/{webhook['id']}/replay", json=what)
        assert answer.status_code == 200, answer.text
        queued.append(answer.json()["queued"])
        if answer.json()["go_on_after"] is None:
            return queued
        what["after_event_id"] = answer.json()["go_on_after"]


async def test_a_replay_of_more_than_there_is_time_for_says_how_to_go_on(
    fleet: Fleet, receiver: Receiver, dsn: Dsn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_replays, "BATCH", 2)
    since = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
    async with fleet.replica(**HURRIED) as api:
        for number in range(5):
            await api.add(f"Alice likes tea {number}", user_id="u")
        webhook = await register(api, receiver.url())
        assert await replay(api, webhook, since=since) == 5
        await in_state(api, webhook, "delivered", 5)
        monkeypatch.setattr(webhook_replays, "SECONDS", 0)
        assert await _pages(api, webhook, since=since) == [2, 2, 1, 0]
        await until("all were told twice", lambda: len(receiver.calls) == 10)
        receiver.answer = lambda _: Answer(500)
        await _pages(api, webhook, since=since)
        await in_state(api, webhook, "parked", 5)
        receiver.answer = lambda _: Answer()
        assert await _pages(api, webhook) == [2, 2, 1, 0]
        await in_state(api, webhook, "delivered", 5)
        answer = await api.client.post(f"/webhooks/{webhook['id']}/replay", json={"event_id": 1, "after_event_id": 1})
        assert answer.status_code == 400


async def test_a_replay_that_is_interrupted_keeps_what_it_queued(
    fleet: Fleet, receiver: Receiver, dsn: Dsn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_replays, "BATCH", 10)
    async with fleet.replica(**HURRIED) as api:
        webhook = await register(api, receiver.url())
        await _park(dsn, webhook, "refused")
        await _execute(
            dsn,
            "CREATE FUNCTION never() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN PERFORM pg_sleep(9); RETURN NEW; END $$",
            "CREATE TRIGGER never BEFORE UPDATE ON webhook_deliveries FOR EACH ROW "
            "WHEN (OLD.event_id = 25 AND OLD.state = 'parked') EXECUTE FUNCTION never()",
        )
        path = f"/webhooks/{webhook['id']}/replay"
        answer = await api.client.post(path, json={})
        assert answer.json() == {"queued": 20, "go_on_after": 20}
        assert (await api.client.post(path, json={"after_event_id": 20})).status_code == 503
        await _execute(dsn, "DROP TRIGGER never ON webhook_deliveries")
        answer = await api.client.post(path, json={"after_event_id": 20})
        assert answer.json() == {"queued": 40, "go_on_after": None}
        await in_state(api, webhook, "delivered", MISSED)
        assert not await deliveries(api, webhook, state="parked")
