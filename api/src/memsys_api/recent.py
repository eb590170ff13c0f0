"""Remembers what was looked up a moment ago: bounded in age and in number."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from memsys_api.causes import cause

log = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """Looks values up by key, again when what it remembers is older than ``seconds``; at most ``size`` of them.

    For ``grace`` seconds more, callers are still given what it remembers, while it looks once beside them: for what
    takes long to look up and may be a little out of date.

    Otherwise two callers that ask at the same moment both look: that costs less than having one wait for the other's
    fate.
    """

    def __init__(self, look_up: Callable[[K], Awaitable[V]], *, seconds: float, size: int, grace: float = 0.0) -> None:
        self._look_up = look_up
        self._seconds = seconds
        self._grace = grace
        self._size = size
        self._values: OrderedDict[K, tuple[float, V]] = OrderedDict()
        self._renewing: dict[K, asyncio.Task[None]] = {}

    async def get(self, key: K) -> V:
        """The value, at most ``seconds`` and ``grace`` old.

        Raises what the look-up raises, and then remembers nothing.
        """
        known = self._values.get(key)
        age = time.monotonic() - known[0] if known else 0.0
        if known and age < self._seconds + self._grace:
            if age >= self._seconds and key not in self._renewing:
                self._renewing[key] = asyncio.create_task(self._renew(key), name="renewal")
            return known[1]
        return await self._look(key)

    def forget(self, key: K) -> None:
        """Look this one up afresh next time."""
        self._values.pop(key, None)

    async def _look(self, key: K) -> V:
        began = time.monotonic()
        value = await self._look_up(key)
        self._values[key] = (began, value)
        self._values.move_to_end(key)
        if len(self._values) > self._size:
            self._values.popitem(last=False)
        return value

    async def _renew(self, key: K) -> None:
        try:
            await self._look(key)
        except Exception as error:  # the next caller tries again, and when the grace is over is told
            log.warning("what is remembered could not be looked up again", extra={"reason": cause(error)})
        finally:
            del self._renewing[key]
