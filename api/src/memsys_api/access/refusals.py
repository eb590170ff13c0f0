"""Slows down whoever tries wrong keys. Pure but for the clock it is given."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

_REMEMBERED = 10_000


class Refusals:
    """How many wrong keys each address may still try on this replica: a token bucket each, of a minute's worth."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = float(per_minute)
        self._per_second = per_minute / 60
        self._clock = clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, address: str) -> float:
        """Seconds until the address may try a key again; 0: now."""
        return max(0.0, (1 - self._tokens(address)) / self._per_second)

    def count(self, address: str) -> None:
        """One more wrong key. Of the addresses, those that tried last are remembered."""
        self._left[address] = (self._tokens(address) - 1, self._clock())
        self._left.move_to_end(address)
        if len(self._left) > _REMEMBERED:
            self._left.popitem(last=False)

    def _tokens(self, address: str) -> float:
        left, at = self._left.get(address, (self._most, 0.0))
        return min(self._most, left + (self._clock() - at) * self._per_second)
