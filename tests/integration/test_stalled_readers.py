"""Readers who take nothing hold up neither an erasure nor other readers."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import psycopg

from .conftest import ADMIN_KEY, Dsn, Serve
from .support.waiting import until

ROWS = 1_000


def _fill(dsn: Dsn) -> None:
    """More than the buffers of a connection hold."""
    with psycopg.connect(dsn.superuser) as conn:
        conn.execute("INSERT INTO projects (name) VALUES ('default') ON CONFLICT DO NOTHING")
        conn.execute(
            """INSERT INTO memory_versions (project, id, version, state, user_id, seq, text, hash, metadata, event_time,
                                            created_at, recorded_from, lexemes)
               SELECT 'default', gen_random_uuid(), 1, 'active', 'u', nextval('memory_seq'), 'note ' || n, '',
                      jsonb_build_object('pad', repeat('x', 20000)), now(), now(), now(), ''
               FROM generate_series(1, %s) n""",
            (ROWS,),
        )


@asynccontextmanager
async def _stalled(client: httpx.AsyncClient) -> AsyncIterator[socket.socket]:
    """An export that has begun and that nobody reads."""
    with socket.socket() as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await asyncio.to_thread(reader.connect, (client.base_url.host, client.base_url.port))
        request = f"GET /export HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {ADMIN_KEY}\r\n\r\n"
        reader.sendall(request.encode())
        assert (await asyncio.to_thread(reader.recv, 12)) == b"HTTP/1.1 200"
        yield reader


def _rest(reader: socket.socket) -> bytes:
    found = bytearray()
    while piece := reader.recv(1 << 20):
        found += piece
    return bytes(found)


async def test_an_erasure_does_not_wait_for_an_export_which_then_leaves_out_what_it_took(
    served: Serve, dsn: Dsn
) -> None:
    _fill(dsn)
    async with served() as (client, _, _service):
        await client.post("/memories", json={"text": "zebrafinch", "user_id": "ann"})
        async with _stalled(client) as reader:
            erasure = (await client.post("/erasures", json={"user_id": "ann"})).json()

            async def done() -> bool:
                return bool((await client.get(f"/erasures/{erasure['id']}")).json()["state"] == "done")

            await until("the erasure is done", done)
            rest = await asyncio.to_thread(_rest, reader)
        assert b"zebrafinch" not in rest
        assert b'{"end":true,"versions":%d}' % ROWS in rest


async def test_a_reader_who_takes_nothing_is_given_up(served: Serve, dsn: Dsn) -> None:
    _fill(dsn)
    async with served(MEMSYS_SEND_TIMEOUT_SECONDS=5) as (client, _, _service), _stalled(client), _stalled(client):
        refused = await client.get("/export")
        assert refused.status_code == 503
        assert "2 exports of this project" in refused.json()["detail"]
        other = await client.get("/export", headers={"X-Memsys-Project": "other"})
        assert other.status_code == 200, "slow readers of one project leave room for others"

        async def admitted() -> bool:
            return bool((await client.get("/export")).status_code == 200)

        await until("there is room for another export", admitted)
        with psycopg.connect(dsn.superuser, autocommit=True) as conn:
            query = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND application_name = 'memsys-snapshot'"
            await until("their snapshots are gone", lambda: conn.execute(query, (dsn.name,)).fetchone() == (0,))
