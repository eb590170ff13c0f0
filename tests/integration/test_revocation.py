"""A key that is revoked, through another replica, while something long is under way for it."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator
from itertools import count
from uuid import uuid4

import httpx
import psycopg
import pytest

from .conftest import ADMIN_KEY, Dsn, Fleet, Replica, Serve
from .support.listening import listening
from .support.waiting import until

SECONDS = 2.0
HEADER = b'{"format": "memsys-export", "version": 1, "heads": false}\n'


async def _key(client: httpx.AsyncClient, *rights: str) -> tuple[str, str]:
    made = await client.post("/keys", json={"name": "k", "projects": ["default"], "rights": list(rights)})
    assert made.status_code == 201, made.text
    return made.json()["id"], made.json()["key"]


async def _refused(client: httpx.AsyncClient, key: str) -> None:
    """Wait until a replica refuses the key, which takes no longer than it may."""

    async def refused() -> bool:
        answer = await client.get("/info", headers={"Authorization": f"Bearer {key}"})
        return answer.status_code == 401

    await until("the replica refuses the key", refused, SECONDS)


@pytest.mark.parametrize("busy", [False, True])
async def test_a_stream_ends(served: Serve, busy: bool) -> None:
    """Silent, or with something to tell all the time; with signs of life as seldom as they are."""
    async with served() as (one, _, _service), served() as (two, _, _other):
        key_id, key = await _key(one, "read")
        async with listening(two, headers={"Authorization": f"Bearer {key}"}) as heard:
            over = asyncio.Event()

            async def write() -> None:
                for number in count():
                    if over.is_set():
                        return
                    await one.post("/memories", json={"text": f"note {number}"})

            writing = asyncio.create_task(write()) if busy else None
            if busy:
                await until("it is told of changes", lambda: len(heard.events) > 3)
            assert (await one.delete(f"/keys/{key_id}")).status_code == 200
            begun = time.monotonic()
            await until("the stream has ended", lambda: heard.ended, SECONDS)
            assert time.monotonic() - begun <= SECONDS
            over.set()
            if writing:
                await writing


async def test_an_export_breaks_off(served: Serve, fleet: Fleet, dsn: Dsn) -> None:
    """Larger than all buffers on the way; its reader takes its time. What it has got does not look whole."""
    async with served() as (client, _, _service), fleet.replica() as other:
        [added] = await other.add("a long story")
        with psycopg.connect(dsn.superuser) as conn:
            conn.execute(
                """INSERT INTO memory_versions
                   SELECT (jsonb_populate_record(v, jsonb_build_object(
                       'id', gen_random_uuid(), 'seq', v.seq + n, 'text', repeat('and then ', 3000)))).*
                   FROM memory_versions v, generate_series(1, 1500) n""",
            )
        key_id, key = await _key(other.client, "read")
        narrow = httpx.AsyncHTTPTransport(socket_options=[(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)])
        async with (
            httpx.AsyncClient(transport=narrow, base_url=client.base_url, timeout=30) as reader,
            reader.stream("GET", "/export", headers={"Authorization": f"Bearer {key}"}) as answer,
        ):
            pieces = answer.aiter_bytes()
            got = len(await anext(pieces))

            async def read_on() -> None:
                nonlocal got
                async for piece in pieces:
                    got += len(piece)

            assert (await other.client.delete(f"/keys/{key_id}")).status_code == 200
            await _refused(client, key)
            with pytest.raises(httpx.RemoteProtocolError):
                await read_on()
        assert got < 20_000_000, "of 40 MB"
        whole = await client.get("/export", timeout=60)
        assert json.loads(whole.content.splitlines()[-1]) == {"end": True, "versions": 1501}
        assert added["id"].encode() in whole.content


async def test_an_import_commits_nothing_more(fleet: Fleet) -> None:
    async with fleet.replica() as one, fleet.replica() as two:
        key_id, key = await _key(one.client, "read", "write", "admin")

        def lines(number: int) -> bytes:
            made = (json.dumps({"id": str(uuid4()), "memory": f"note {n}"}) for n in range(number))
            return "\n".join(made).encode() + b"\n"

        async def file() -> AsyncIterator[bytes]:
            yield HEADER + lines(200)
            await until("the first batch is committed", lambda: _stored(one, 200))
            assert (await one.client.delete(f"/keys/{key_id}")).status_code == 200
            await _refused(two.client, key)
            yield lines(300)

        async with two.as_key(key) as client:
            answer = await client.post("/import", content=file())
        assert answer.status_code == 401, answer.text
        assert await _stored(one, 200)


async def _stored(replica: Replica, number: int) -> bool:
    page = await replica.client.get("/memories", params={"limit": 1000}, headers={"X-API-Key": ADMIN_KEY})
    return len(page.json()["results"]) == number
