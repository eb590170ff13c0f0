"""Tells a slow API from one that is away: the first is waited for, the second is given up within seconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import TypeVar

import memsys

T = TypeVar("T")

PROBE_SECONDS = 0.8
FRESH_SECONDS = 0.5


class Patience:
    """Whenever some work has gone on for ``after`` seconds, asks whether the API is alive, and ends the work if not.

    The question is put by a thread: on an event loop that is busy, an answer in time would look late. All who wait at
    once share one answer.
    """

    def __init__(self, probe: memsys.Client, breaker: memsys.CircuitBreaker, after: float) -> None:
        self._probe = probe.with_options(timeout=PROBE_SECONDS, budget=PROBE_SECONDS)
        self._breaker = breaker
        self._after = after
        self._asking = asyncio.Lock()
        self._asked_at = -FRESH_SECONDS
        self._was_alive = False

    async def wait(self, work: Awaitable[T]) -> T:
        """The result of the work. Raises :class:`memsys.Unreachable` where the API is away, and tells the breaker."""
        task = asyncio.ensure_future(work)
        try:
            while not (await asyncio.wait({task}, timeout=self._after))[0]:
                if not await self._alive() and not task.done():
                    self._breaker.failed()
                    raise memsys.Unreachable(f"no answer in {self._after} s, and the API shows no sign of life")
            return task.result()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})

    async def _alive(self) -> bool:
        async with self._asking:
            if time.monotonic() - self._asked_at >= FRESH_SECONDS:
                self._was_alive = await asyncio.to_thread(self._ask)
                self._asked_at = time.monotonic()
            return self._was_alive

    def _ask(self) -> bool:
        try:
            self._probe.alive()
        except memsys.MemsysError:
            return False
        return True
