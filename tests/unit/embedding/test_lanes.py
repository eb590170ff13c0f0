"""Micro-batching: requests share runs, searches overtake imports, overload is said, nothing blocks the loop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence

import numpy as np
import pytest

from memsys_api.embedding import lanes
from memsys_api.embedding.lanes import Lanes
from memsys_api.ports import EmbedderUnavailable, Vectors


class Model:
    """Answers each text's length; can be held."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.go = threading.Event()
        self.go.set()

    def encode(self, texts: Sequence[str]) -> Vectors:
        self.batches.append(list(texts))
        assert self.go.wait(20), "the test never let the model go on"
        if "bad" in texts:
            raise ValueError("bad text")
        return np.array([[len(text)] for text in texts], np.float32)


async def settled(condition: object, seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "the expected state was not reached"
        await asyncio.sleep(0.001)


async def test_concurrent_requests_share_a_run() -> None:
    model = Model()
    pool = Lanes(model.encode)
    model.go.clear()
    first = asyncio.create_task(pool.encode(["a"]))
    await settled(lambda: model.batches)
    others = [asyncio.create_task(pool.encode(["x" * n])) for n in range(2, 12)]
    await asyncio.sleep(0)
    model.go.set()
    assert [row[0][0] for row in await asyncio.gather(first, *others)] == [1, *range(2, 12)]
    assert [len(batch) for batch in model.batches] == [1, 10]
    await pool.close()


async def test_a_search_does_not_wait_behind_an_import() -> None:
    model = Model()
    pool = Lanes(model.encode)
    model.go.clear()
    bulk = asyncio.create_task(pool.encode(["text"] * 100))
    await settled(lambda: model.batches)
    search = asyncio.create_task(pool.encode(["query"]))
    await settled(lambda: ["query"] in model.batches)
    assert not bulk.done()
    model.go.set()
    assert (await search).shape == (1, 1)
    assert (await bulk).shape == (100, 1)
    assert max(map(len, model.batches)) <= lanes.BATCH_TEXTS
    await pool.close()


async def test_overload_is_said_and_recovered_from() -> None:
    model = Model()
    pool = Lanes(model.encode, waiting_texts=2, patience_seconds=0.05)
    model.go.clear()
    running = [asyncio.create_task(pool.encode(["x"])) for _ in range(3)]
    await settled(lambda: model.batches)
    with pytest.raises(EmbedderUnavailable, match="overloaded"):
        await asyncio.gather(*(pool.encode(["y"]) for _ in range(3)))
    model.go.set()
    await asyncio.gather(*running)
    assert (await pool.encode(["z"])).shape == (1, 1)
    await pool.close()


async def test_a_caller_that_gives_up_is_skipped() -> None:
    model = Model()
    pool = Lanes(model.encode)
    model.go.clear()
    first = asyncio.create_task(pool.encode(["first"]))
    await settled(lambda: model.batches)
    given_up = asyncio.create_task(pool.encode(["given up"]))
    kept = asyncio.create_task(pool.encode(["kept"]))
    await asyncio.sleep(0)  # both wait in the lane from their first step on
    given_up.cancel()
    await asyncio.gather(given_up, return_exceptions=True)
    model.go.set()
    await asyncio.gather(first, kept)
    assert model.batches == [["first"], ["kept"]]
    await pool.close()


async def test_an_error_reaches_its_callers_and_the_lane_lives_on() -> None:
    pool = Lanes(Model().encode)
    with pytest.raises(ValueError, match="bad text"):
        await pool.encode(["bad"])
    assert (await pool.encode(["good"])).shape == (1, 1)
    await pool.close()


async def test_close_frees_who_waits() -> None:
    model = Model()
    pool = Lanes(model.encode)
    model.go.clear()
    waiting = [asyncio.create_task(pool.encode(["x"])) for _ in range(3)]
    await settled(lambda: model.batches)
    await pool.close()
    model.go.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(result, EmbedderUnavailable) for result in results)
    with pytest.raises(EmbedderUnavailable, match="closed"):
        await pool.encode(["late"])


async def test_the_loop_runs_on_while_the_model_works() -> None:
    model = Model()
    pool = Lanes(model.encode)
    model.go.clear()
    task = asyncio.create_task(pool.encode(["x"] * 50))
    await settled(lambda: model.batches)
    ticks = 0
    for _ in range(100):
        await asyncio.sleep(0)
        ticks += 1
    assert ticks == 100
    assert not task.done()
    model.go.set()
    await task
    await pool.close()
