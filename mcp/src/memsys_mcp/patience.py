"""Tells a slow API from one that is away: the first is waited for, the second is given up within seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

import memsys

T = TypeVar("T")

PROBE_SECONDS = 0.8


class Patience:
    """Whenever some work has gone on for ``after`` seconds, asks whether the API is alive, and ends the work if not."""

    def __init__(self, probe: memsys.AsyncClient, breaker: memsys.CircuitBreaker, after: float) -> None:
        self._probe = probe.with_options(timeout=PROBE_SECONDS, budget=PROBE_SECONDS)
        self._breaker = breaker
        self._after = after

    async def wait(self, work: Awaitable[T]) -> T:
        """The result of the work. Raises :class:`memsys.Unreachable` where the API is away, and tells the breaker."""
        task = asyncio.ensure_future(work)
        try:
            while not (await asyncio.wait({task}, timeout=self._after))[0]:
                if not await self._alive():
                    self._breaker.failed()
                    raise memsys.Unreachable(f"no answer in {self._after} s, and the API shows no sign of life")
            return task.result()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})

    async def _alive(self) -> bool:
        try:
            await self._probe.alive()
        except memsys.MemsysError:
            return False
        return True
