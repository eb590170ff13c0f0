"""Tells a slow API from one that is away: the first is waited for, the second is given up within seconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import memsys

T = TypeVar("T")

PROBE_SECONDS = 0.8
FRESH_SECONDS = 0.5


class Patience:
    """Whenever some work has gone on for ``after`` seconds, asks whether the API is alive, and ends the work if not.

    The question is put by a thread: on an event loop that is busy, an answer in time would look late. All who wait at
    once share one answer. Nobody waits for it longer than ``PROBE_SECONDS``, though the thread may take longer: where
    no name server answers, nothing ends the look-up of a name. Until it has ended, the API shows no sign of life.
    """

    def __init__(self, probe: memsys.Client, breaker: memsys.CircuitBreaker, after: float) -> None:
        self._probe = probe.with_options(timeout=PROBE_SECONDS, budget=PROBE_SECONDS)
        self._breaker = breaker
        self._after = after
        # Not one of the loop's own threads, which look-ups of names may all have taken.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="probe")
        self._answer: asyncio.Future[bool] | None = None
        self._asked_at = self._answered_at = 0.0

    async def wait(self, work: Awaitable[T]) -> T:
        """The result of the work. Raises :class:`memsys.Unreachable` where the API is away, and tells the breaker."""
        task = asyncio.ensure_future(work)
        try:
            while not (await asyncio.wait({task}, timeout=self._after))[0]:
                if not await self._alive(task) and not task.done():
                    self._breaker.failed()
                    raise memsys.Unreachable(f"no answer in {self._after} s, and the API shows no sign of life")
            return task.result()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})

    async def _alive(self, task: asyncio.Future[Any]) -> bool:
        """Whether the API answers in time. Returns, with whatever, as soon as the task is done."""
        answer = self._asked()
        left = self._asked_at + PROBE_SECONDS - time.monotonic()
        await asyncio.wait({task, answer}, timeout=max(0.0, left), return_when=asyncio.FIRST_COMPLETED)
        return answer.done() and answer.result()

    def _asked(self) -> asyncio.Future[bool]:
        """The answer to a question that is under way, or was answered a moment ago; else to a new one."""
        now = time.monotonic()
        if self._answer is None or (self._answer.done() and now - self._answered_at >= FRESH_SECONDS):
            self._asked_at = now
            self._answer = asyncio.get_running_loop().run_in_executor(self._thread, self._ask)
        return self._answer

    def _ask(self) -> bool:
        try:
            self._probe.alive()
        except memsys.MemsysError:
            return False
        finally:
            self._answered_at = time.monotonic()
        return True
