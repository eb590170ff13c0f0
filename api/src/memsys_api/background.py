"""What work beside the requests has in common: starting so that its end is noticed, waiting, and ending in time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

log = logging.getLogger(__name__)

_CANCEL_AGAIN_SECONDS = 0.5

on_lost: ContextVar[Callable[[], None] | None] = ContextVar("on_lost", default=None)
"""What is called when a task that was started from here on ends without being told to."""


class Tasks:
    """Tasks that go on until they are told to stop. One that ends before is logged, and :data:`on_lost` is called."""

    def __init__(self) -> None:
        self.stopping = asyncio.Event()
        """Set when the tasks are to end."""
        self._running: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None], name: str, *, finite: bool = False) -> asyncio.Task[None]:
        """Begin a task. It may fail or be cancelled only while stopping, and return only then unless ``finite``."""
        task = asyncio.create_task(work, name=name)
        lost = on_lost.get()

        def ended(task: asyncio.Task[None]) -> None:
            self._running.discard(task)
            error = None if task.cancelled() else task.exception()
            returned = not task.cancelled() and error is None
            if self.stopping.is_set() or (finite and returned):
                return
            how = "returned" if returned else "failed" if error else "cancelled"  # as by a library's own cancellation
            log.error("background task ended", extra={"task": name, "how": how}, exc_info=error)
            if lost is not None:
                lost()

        self._running.add(task)
        task.add_done_callback(ended)
        return task

    async def end(self, seconds: float = 0) -> None:
        """Tell the tasks to stop, and wait until they have ended; those that take longer than this are cancelled."""
        self.stopping.set()
        while self._running:
            await end(self._running, seconds)


async def wait(event: asyncio.Event, seconds: float | None) -> None:
    """Until an event is set, or for so long."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


async def end(tasks: Collection[asyncio.Task[None]], seconds: float) -> None:
    """Until tasks that were asked to stop have ended; those that take longer are cancelled.

    Again and again: psycopg may swallow a cancellation that comes while it cleans up.
    """
    if tasks:
        _, late = await asyncio.wait(tasks, timeout=seconds)
        while late:
            for task in late:
                task.cancel()
            _, late = await asyncio.wait(late, timeout=_CANCEL_AGAIN_SECONDS)
