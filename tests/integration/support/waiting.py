"""Waiting for a condition, never for a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable


async def until(what: str, condition: Callable[[], Awaitable[object] | object], seconds: float = 60) -> None:
    """Wait until a condition holds; after so many seconds fail, saying what did not come true."""
    deadline = time.monotonic() + seconds
    while True:
        outcome = condition()
        if isinstance(outcome, Awaitable):
            outcome = await outcome
        if outcome:
            return
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:.0f} s: {what}")
        await asyncio.sleep(0.02)
