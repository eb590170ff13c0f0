"""How long an event loop was kept from everything else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


async def longest_pause(clock: Callable[[], float] = time.monotonic) -> float:
    """Watch the running loop as a task; once cancelled, it says the longest pause in seconds.

    By ``time.process_time`` a pause is the work that this process did meanwhile, on whichever of its threads: that of a
    busy machine does not count.
    """
    longest = 0.0
    try:
        while True:
            begun = clock()
            await asyncio.sleep(0.01)
            longest = max(longest, clock() - begun - 0.01)
    except asyncio.CancelledError:
        return longest
