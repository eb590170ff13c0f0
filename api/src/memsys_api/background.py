"""What work beside the requests has in common: waiting until something is due, and ending in time."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from contextlib import suppress


async def wait(event: asyncio.Event, seconds: float | None) -> None:
    """Until an event is set, or for so long."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


async def end(tasks: Collection[asyncio.Task[None]], seconds: float) -> None:
    """Until tasks that were asked to stop have ended; those that take longer are cancelled."""
    if tasks:
        _, late = await asyncio.wait(tasks, timeout=seconds)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
