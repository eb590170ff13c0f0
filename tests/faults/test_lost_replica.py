"""A replica that vanishes without a word, its machine and its connections with it: what it held is let go."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.integration.support.waiting import until

from .support.rig import rig

WRITERS = 32
LET_GO_SECONDS = 20.0
_OPEN = "SELECT count(*) FROM pg_stat_activity WHERE client_addr = %s AND xact_start < now() - interval '1 second'"


@pytest.mark.timeout(240)
async def test_the_transactions_of_a_replica_that_vanished_end_soon(model: Path, tmp_path: Path) -> None:
    """Without a packet from it. Until then nobody else can use the keys, or change the memories, that they lock."""
    async with rig(model, tmp_path, with_graph=False) as running:
        lost, other = running.replicas
        keys = [f"key-{n}" for n in range(WRITERS)]

        async def write(client: httpx.AsyncClient, key: str) -> httpx.Response:
            return await client.post("/memories", json={"text": f"under {key}"}, headers={"Idempotency-Key": key})

        async with running.client(lost, 30) as doomed, running.client(other, 30) as client:
            for attempt in range(20):
                keys = [f"key-{attempt}-{n}" for n in range(WRITERS)]
                writing = [asyncio.create_task(write(doomed, key)) for key in keys]
                await asyncio.wait(writing, return_when=asyncio.FIRST_COMPLETED)
                with running.network.unplugged(running.nodes[lost.name]):
                    await asyncio.sleep(1.1)
                    with psycopg.connect(running.superuser, autocommit=True) as conn:

                        def held(conn: psycopg.Connection = conn) -> int:
                            row = conn.execute(_OPEN, (lost.node.address,)).fetchone()
                            assert row is not None
                            return int(row[0])

                        if not held():
                            continue
                        await running.kubelets[lost.name].kill()
                        what = "PostgreSQL has let go of the lost replica's transactions"
                        await until(what, lambda ask=held: ask() == 0, LET_GO_SECONDS)
                        answers = await asyncio.gather(*(write(client, key) for key in keys))
                        assert {answer.status_code for answer in answers} == {200}
                        for task in writing:
                            task.cancel()
                        return
        raise AssertionError("no transaction was open when the replica vanished")
