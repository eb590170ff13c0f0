"""What is kept for a while is kept that long, and no longer."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg

from memsys_api.store import retention

from .conftest import Dsn, Fleet, Replica
from .support.by_hand import by_hand
from .support.erasing import erase
from .support.waiting import until


async def test_only_what_is_past_its_time_goes_and_memories_stay(api: Replica, dsn: Dsn) -> None:
    for key, project in (("old", "one"), ("new", "one"), ("old", "two")):
        headers = {"Idempotency-Key": key, "X-Memsys-Project": project}
        assert (await api.client.post("/memories", json={"text": key}, headers=headers)).status_code == 200
    with psycopg.connect(dsn.superuser) as conn:
        conn.execute("UPDATE idempotency SET created_at = now() - interval '49 hours' WHERE key = 'old'")
        conn.execute(
            """UPDATE outbox SET occurred_at = now() - interval '8 days'
               WHERE memory_id IN (SELECT id FROM memory_versions WHERE text = 'old')"""
        )
    assert await retention.sweep(api.service.database) == 4
    assert await retention.sweep(api.service.database) == 0
    with psycopg.connect(dsn.superuser) as conn:
        assert conn.execute("SELECT key FROM idempotency").fetchall() == [("new",)]
        assert conn.execute("SELECT count(*) FROM outbox").fetchone() == (1,)
        assert conn.execute("SELECT count(*) FROM memory_versions").fetchone() == (3,)


async def test_an_expired_memory_leaves_the_graph_and_keeps_its_history(graphed: Replica, dsn: Dsn) -> None:
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    (going,) = await graphed.add("I like tea", user_id="u", expires_at=soon)
    (staying,) = await graphed.add("I like coffee", user_id="u")
    sink, service = graphed.sink, graphed.service
    assert sink is not None
    assert service.graph is not None
    await until("both are in the graph", lambda: len(sink.live()) == 2)
    assert await retention.expire(service.database, service.generation, ["graph"]) == 0
    with psycopg.connect(dsn.superuser) as conn:
        conn.execute("UPDATE memory_versions SET expires_at = now() - interval '1 s' WHERE id = %s", (going["id"],))
    assert await retention.expire(service.database, service.generation, ["graph"]) == 1
    assert await retention.expire(service.database, service.generation, ["graph"]) == 0
    service.graph.dispatcher.wake()
    await until("only the other is in the graph", lambda: {str(i) for i in sink.live()} == {staying["id"]})
    history = (await graphed.client.get(f"/memories/{going['id']}/history")).json()
    assert [(one["event"], one["old_memory"]) for one in history] == [("ADD", None), ("DELETE", "I like tea")]


async def test_erasures_are_forgotten_when_no_backup_can_bring_back_what_they_removed(
    fleet: Fleet, dsn: Dsn, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    settings = {
        "MEMSYS_ERASURE_LEDGER": str(ledger),
        "MEMSYS_ERASURE_LEDGER_RETENTION_DAYS": 40,
        "MEMSYS_BACKUP_RETENTION_DAYS": 30,
    }
    async with fleet.replica(**settings) as api:
        old, new = [(await erase(api, user_id=user))["id"] for user in ("ann", "bob")]
        await by_hand(
            dsn.superuser, "UPDATE erasures SET finished_at = now() - interval '41 days' WHERE id = %s", (old,)
        )
        assert await retention.sweep(api.service.database) == 0
        assert await retention.sweep(api.service.database, timedelta(days=40)) == 1
        assert [one["id"] for one in (await api.client.get("/erasures")).json()["results"]] == [new]
    _age(ledger, old, 41)
    async with fleet.replica(**settings) as api:  # the file does not bring it back, and has dropped it
        assert [one["id"] for one in (await api.client.get("/erasures")).json()["results"]] == [new]
    assert _ids(ledger) == [new]


def _age(ledger: Path, erasure: str, days: int) -> None:
    lines = [json.loads(line) for line in ledger.read_text().splitlines() if line]
    for line in lines:
        if line["id"] == erasure:
            line["requested_at"] = (datetime.now(UTC) - timedelta(days=days)).isoformat()
    ledger.write_text("\n".join(map(json.dumps, lines)))


def _ids(ledger: Path) -> list[str]:
    return [json.loads(line)["id"] for line in ledger.read_text().splitlines() if line]
