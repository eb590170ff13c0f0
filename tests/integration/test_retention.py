"""What is kept for a while is kept that long, and no longer."""

from __future__ import annotations

import psycopg

from memsys_api.store import retention

from .conftest import Dsn, Replica


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
