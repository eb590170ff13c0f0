"""What kills the process that works on it, every time: parked after its last attempt, and nothing else with it.

The processes are real and end by SIGKILL; only the wait for their leases is cut short.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID

import psycopg

from memsys_api.sinks.attempts import ATTEMPTS
from memsys_api.store import deliveries

from .conftest import Dsn, Fleet
from .support.receiver import receiving
from .support.waiting import until

TURNS = [{"role": "user", "content": f"note {n}"} for n in range(30)]
MIDDLE = 15


async def _deaths(dsn: Dsn, kind: str, table: str) -> tuple[int, set[UUID]]:
    """Start a worker again and again until nothing is pending; how many died over it, and what came through a sink."""
    deaths, through = 0, set[UUID]()
    command = [sys.executable, "-m", "tests.integration.support.mortal", kind, dsn.app]
    with psycopg.connect(dsn.superuser, autocommit=True) as conn:
        while True:
            worker = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)

            def ended(worker: asyncio.subprocess.Process = worker) -> bool:
                left = conn.execute(f"SELECT count(*) FROM {table} WHERE state = 'pending'").fetchone()
                return left == (0,) or worker.returncode is not None

            try:
                await until("the worker is through or dead", ended, 60)
                died = worker.returncode is not None
            finally:
                with suppress(ProcessLookupError):
                    worker.kill()
                said, _ = await worker.communicate()
            through |= {UUID(line) for line in said.decode().split()}
            if not died:
                return deaths, through
            deaths += 1
            assert deaths <= ATTEMPTS, "it is tried for ever"
            conn.execute(f"UPDATE {table} SET leased_until = now() - interval '1 s' WHERE lease IS NOT NULL")


async def test_a_record_that_kills_every_worker_is_parked_alone(fleet: Fleet, dsn: Dsn) -> None:
    async with fleet.replica() as api:  # without a graph: nothing applies here
        turns = [*TURNS[:MIDDLE], {"role": "user", "content": "deadly"}, *TURNS[MIDDLE:]]
        ids = [UUID(one["id"]) for one in await api.add(turns)]
        async with api.service.database.transaction("default") as conn:
            await deliveries.enqueue(conn, "default", ["graph"], [(i, 1) for i in ids])
    deadly = ids[MIDDLE]
    deaths, through = await _deaths(dsn, "sink", "deliveries")
    assert deaths == ATTEMPTS
    assert through == set(ids) - {deadly}
    with psycopg.connect(dsn.superuser) as conn:
        [row] = conn.execute("SELECT memory_id, state, cause, attempts, error FROM deliveries").fetchall()
    assert row[:4] == (deadly, "parked", "record", ATTEMPTS)
    assert "7 attempts were begun" in row[4]


async def test_a_webhook_call_that_kills_every_worker_is_parked_alone(fleet: Fleet, dsn: Dsn) -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    async with receiving() as receiver:
        async with fleet.replica(resolver=resolve, WEBHOOK_ALLOWED_NETWORKS="127.0.0.0/8") as api:
            assert api.service.webhooks
            await api.service.webhooks.dispatcher.stop()
            for url, scope in ((receiver.url(), {}), (f"http://deadly.test:{receiver.port}/", {"user_id": "d"})):
                assert (await api.client.post("/webhooks", json={"url": url, **scope})).status_code == 201
            first = await api.add(TURNS[:MIDDLE], user_id="u")
            [deadly] = await api.add("calls for a death", user_id="d")
            rest = await api.add(TURNS[MIDDLE:], user_id="u")
        deaths, _ = await _deaths(dsn, "webhooks", "webhook_deliveries")
        assert deaths == ATTEMPTS
        heard = {call.data["memory_id"] for call in receiver.calls}
        assert heard == {one["id"] for one in (*first, deadly, *rest)}
    with psycopg.connect(dsn.superuser) as conn:
        rows = conn.execute(
            "SELECT memory_id::text, cause, attempts, error FROM webhook_deliveries WHERE state = 'parked'"
        ).fetchall()
    [row] = rows
    assert row[:3] == (deadly["id"], "refused", ATTEMPTS)
    assert "7 attempts were begun" in row[3]


async def test_a_death_after_an_outage_is_not_held_against_the_record(fleet: Fleet, dsn: Dsn) -> None:
    """Six attempts found the sink away, and whoever made the seventh died: it is tried again, from the beginning."""
    async with fleet.replica() as api:
        [added] = await api.add("unlucky")
        async with api.service.database.transaction("default") as conn:
            await deliveries.enqueue(conn, "default", ["graph"], [(UUID(added["id"]), 1)])
    with psycopg.connect(dsn.superuser) as conn:
        conn.execute(
            "UPDATE deliveries SET attempts = 7, cause = 'away', lease = gen_random_uuid(), leased_until = now()"
        )
    assert await _deaths(dsn, "sink", "deliveries") == (0, {UUID(added["id"])})
    with psycopg.connect(dsn.superuser) as conn:
        assert conn.execute("SELECT count(*) FROM deliveries").fetchone() == (0,)
