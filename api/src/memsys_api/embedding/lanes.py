"""Micro-batching between an event loop and a model: requests share runs, no search waits behind an import.

Two lanes, each with its own queue and its own thread: *interactive* for requests of a few texts, *bulk* for the rest.
The number of texts that may wait in a lane is bounded: a caller beyond it waits for room (backpressure), and when there
is none for a long time it is told that the embedder is overloaded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from memsys_api.background import Tasks
from memsys_api.ports import EmbedderUnavailable, Vectors

Encode = Callable[[Sequence[str]], Vectors]

INTERACTIVE_TEXTS = 4  # a request of at most so many texts takes the fast lane
BATCH_TEXTS = 32  # texts taken from the queue at once; more of them would only delay the first answer
WAITING_TEXTS = 4096  # texts that may wait in one lane
PATIENCE_SECONDS = 30.0  # how long a caller waits for room


@dataclass(slots=True, eq=False)
class _Job:
    text: str
    result: asyncio.Future[Vectors]


class Lanes:
    """Runs ``encode`` in threads. Belongs to the event loop it was made in."""

    def __init__(
        self,
        encode: Encode,
        *,
        waiting_texts: int = WAITING_TEXTS,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._interactive = _Lane("interactive", encode, waiting_texts, patience_seconds)
        self._bulk = _Lane("bulk", encode, waiting_texts, patience_seconds)

    async def encode(self, texts: Sequence[str]) -> Vectors:
        """Return one row per text.

        Raises :class:`EmbedderUnavailable` when overloaded or closed, and whatever ``encode`` raises.
        """
        lane = self._interactive if len(texts) <= INTERACTIVE_TEXTS else self._bulk
        return await lane.encode(texts)

    async def close(self) -> None:
        await asyncio.gather(self._interactive.close(), self._bulk.close())


class _Lane:
    def __init__(self, name: str, encode: Encode, waiting_texts: int, patience_seconds: float) -> None:
        self._name = name
        self._encode = encode
        self._patience = patience_seconds
        self._jobs: asyncio.Queue[_Job] = asyncio.Queue(waiting_texts)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"embedding-{name}")
        self._tasks = Tasks()
        self._worker = self._tasks.start(self._work(), f"embedding-{name}")

    async def encode(self, texts: Sequence[str]) -> Vectors:
        loop = asyncio.get_running_loop()
        jobs = [_Job(text, loop.create_future()) for text in texts]
        try:
            for job in jobs:
                await self._put(job)
            return np.stack(await asyncio.gather(*(job.result for job in jobs)))
        finally:
            for job in jobs:  # a caller that gave up needs no vectors: the worker skips what is cancelled
                job.result.cancel()

    async def _put(self, job: _Job) -> None:
        if self._worker.done():
            raise EmbedderUnavailable("the embedder is closed")
        try:
            async with asyncio.timeout(self._patience):
                await self._jobs.put(job)
        except TimeoutError:
            raise EmbedderUnavailable(
                f"the embedder is overloaded: {self._jobs.qsize()} texts wait in its {self._name} lane "
                f"and none was taken within {self._patience:g} s; send less at once or give the API more CPU"
            ) from None

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            batch = [await self._jobs.get()]
            while len(batch) < BATCH_TEXTS and not self._jobs.empty():
                batch.append(self._jobs.get_nowait())
            batch = [job for job in batch if not job.result.done()]
            if not batch:
                continue
            try:
                vectors = await loop.run_in_executor(self._thread, self._encode, [job.text for job in batch])
            except asyncio.CancelledError:
                _fail(batch, EmbedderUnavailable("the embedder was closed while it worked"))
                raise
            except Exception as error:  # whatever the model raises belongs to the callers, not to this loop
                _fail(batch, error)
            else:
                for job, vector in zip(batch, vectors, strict=True):
                    if not job.result.done():
                        job.result.set_result(vector)

    async def close(self) -> None:
        await self._tasks.end()
        left = [self._jobs.get_nowait() for _ in range(self._jobs.qsize())]
        _fail(left, EmbedderUnavailable("the embedder is closed"))
        self._thread.shutdown(wait=False, cancel_futures=True)


def _fail(jobs: Sequence[_Job], error: Exception) -> None:
    for job in jobs:
        if not job.result.done():
            job.result.set_exception(error)
