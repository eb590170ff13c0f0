"""How much memory the replicas hold, over each one's life."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from statistics import median

from .replica import Replica

WARM_UP_SECONDS = 15.0
_EVERY_SECONDS = 1.0
_SPAN = 5


class Footprint:
    """Samples of every life of every replica, from when it has warmed up."""

    def __init__(self, replicas: list[Replica]) -> None:
        self._replicas = replicas
        self._begun: dict[tuple[str, int], float] = {}
        self._samples: dict[tuple[str, int], list[int]] = {}

    async def watch(self) -> None:
        """Until cancelled."""
        while True:
            for replica in self._replicas:
                with suppress(OSError, AssertionError):  # it is not there just now
                    pid, held = replica.resident()
                    life = (replica.name, pid)
                    if time.monotonic() - self._begun.setdefault(life, time.monotonic()) > WARM_UP_SECONDS:
                        self._samples.setdefault(life, []).append(held)
            await asyncio.sleep(_EVERY_SECONDS)

    def growth(self) -> dict[str, tuple[int, int]]:
        """For each life: how many bytes it held after the warm-up and at the end; lives too short to tell left out."""
        return {
            f"{name} (pid {pid})": (int(median(held[:_SPAN])), int(median(held[-_SPAN:])))
            for (name, pid), held in self._samples.items()
            if len(held) >= 3 * _SPAN
        }
