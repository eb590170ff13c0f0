"""Searches give up on a silent Neptune by the hundred; when it answers again, so does the sink."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from memsys_api.model import Scope
from memsys_api.sinks.graph import NeptuneSink

AT_ONCE = 150
ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 14\r\n\r\n{"results":[]}'


@dataclass
class Neptune:
    """Reads every request, and answers none until ``answers`` is set."""

    url: str = ""
    answers: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().partition(b"content-length:")[2].split()[0])
                await reader.readexactly(length)
                await self.answers.wait()
                writer.write(ANSWER)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@pytest.fixture
async def neptune() -> AsyncIterator[Neptune]:
    neptune = Neptune()
    server = await asyncio.start_server(neptune.serve, "127.0.0.1", 0, backlog=500)
    neptune.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield neptune
    neptune.answers.set()
    server.close()


async def test_searches_that_give_up_in_an_outage_take_no_connection_with_them(neptune: Neptune) -> None:
    sink = NeptuneSink(neptune.url, region=None)
    end = time.monotonic() + 3

    async def give_up() -> None:
        while time.monotonic() < end:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(sink.neighbours(Scope("p"), ["anna"], 5), random.uniform(0.01, 0.05))

    await asyncio.gather(*[give_up() for _ in range(AT_ONCE)])
    neptune.answers.set()
    async with asyncio.timeout(20):
        found = await asyncio.gather(*[sink.neighbours(Scope("p"), ["anna"], 5) for _ in range(AT_ONCE)])
    assert found == [[]] * AT_ONCE
    await sink.close()
