"""Long writes and hostile ones are read beside the event loop: whoever asks meanwhile is answered."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from uuid import uuid4

import httpx
import numpy as np
import pytest

from memsys_api.ports import Vectors

from .conftest import Fleet, Replica
from .support.parts import WordEmbedder
from .support.pauses import longest_pause
from .test_quarantine import policy

LONGEST = 32_000  # characters of one text
HOSTILE = ("if you must " * LONGEST)[:LONGEST]
TEXTS = {
    "instructions": HOSTILE,
    "tokens": ("-eyJxxxxxxxx" * LONGEST)[:LONGEST],
    "white space": "#system" + " " * (LONGEST - 8) + "x",
    "marks": "a" + ("\u0300\u0316" * LONGEST)[: LONGEST - 1],
}


class _QuickEmbedder(WordEmbedder):
    """Takes no time of the loop, which is what is measured."""

    async def embed(self, texts: Sequence[str]) -> Vectors:
        return np.ones((len(texts), self.dimensions), np.float32)


@pytest.fixture
async def quick(fleet: Fleet) -> AsyncIterator[Replica]:
    async with fleet.replica(embedder=_QuickEmbedder()) as replica:
        yield replica


async def _meanwhile(api: Replica, write: Awaitable[httpx.Response]) -> httpx.Response:
    """The answer to a write, while which others are answered."""

    async def probe() -> None:
        while True:
            assert (await api.client.get("/healthz")).status_code == 200
            await asyncio.sleep(0.05)

    pauses, probing = asyncio.create_task(longest_pause(time.process_time)), asyncio.create_task(probe())
    answer = await write
    assert not probing.done()
    probing.cancel()
    pauses.cancel()
    # A few tenths on a quiet machine; on a busy one the threads that compete for the interpreter make it more.
    assert await pauses < 3.0, "the event loop was blocked"
    return answer


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("mode", ["flag", "hold"])
async def test_an_add_of_twenty_long_messages_holds_nobody_up(quick: Replica, mode: str, text: str) -> None:
    await policy(quick, mode)
    body = {"messages": [{"role": "user", "content": text}] * 20}
    answer = await _meanwhile(quick, quick.client.post("/memories", json=body))
    assert answer.status_code == 200, answer.text
    assert [one["memory"] for one in answer.json()["results"]] == [text] * 20


async def _update(api: Replica, memory: str) -> httpx.Response:
    return await api.client.put(f"/memories/{memory}", json={"text": HOSTILE})


async def _change_many(api: Replica, memory: str) -> httpx.Response:
    return await api.client.put("/v1/batch/", json={"memories": [{"memory_id": memory, "text": HOSTILE}]})


async def _submit(api: Replica, _: str) -> httpx.Response:
    return await api.client.post("/memories/batch", json={"requests": [{"text": HOSTILE}] * 3})


async def _import(api: Replica, _: str) -> httpx.Response:
    lines = [{"format": "memsys-export", "version": 1}, *({"id": str(uuid4()), "memory": HOSTILE} for _ in range(3))]
    return await api.client.post("/import", content="\n".join(map(json.dumps, lines)))


@pytest.mark.parametrize("write", [_update, _change_many, _submit, _import])
async def test_nor_does_any_other_way_of_writing(
    quick: Replica, write: Callable[[Replica, str], Awaitable[httpx.Response]]
) -> None:
    await policy(quick, "hold")
    (memory,) = await quick.add("ordinary")
    answer = await _meanwhile(quick, write(quick, memory["id"]))
    assert answer.status_code in (200, 202), answer.text
