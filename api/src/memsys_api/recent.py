"""Remembers what was looked up a moment ago: bounded in age and in number."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """Looks values up by key, again when what it remembers is older than ``seconds``; at most ``size`` of them.

    Two callers that ask at the same moment both look: that costs less than having one wait for the other's fate.
    """

    def __init__(self, look_up: Callable[[K], Awaitable[V]], *, seconds: float, size: int) -> None:
        self._look_up = look_up
        self._seconds = seconds
        self._size = size
        self._values: OrderedDict[K, tuple[float, V]] = OrderedDict()

    async def get(self, key: K) -> V:
        """The value, at most ``seconds`` old. Raises what the look-up raises, and then remembers nothing."""
        now = time.monotonic()
        if (known := self._values.get(key)) and now - known[0] < self._seconds:
            return known[1]
        value = await self._look_up(key)
        self._values[key] = (now, value)
        self._values.move_to_end(key)
        if len(self._values) > self._size:
            self._values.popitem(last=False)
        return value

    def forget(self, key: K) -> None:
        """Look this one up afresh next time."""
        self._values.pop(key, None)
