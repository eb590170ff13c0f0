"""A circuit breaker: after a run of failures, stop asking for a while, then let one call find out. No I/O."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class CircuitBreaker:
    """Closed: calls pass. Open: none does, for ``cooldown`` seconds. Half-open: one probe passes and decides.

    Safe to share between threads and tasks. ``clock`` gives monotonic seconds.
    """

    def __init__(self, threshold: int = 5, cooldown: float = 5.0, clock: Callable[[], float] = time.monotonic) -> None:
        if threshold < 1 or cooldown <= 0:
            raise ValueError("threshold must be at least 1 and cooldown a positive number of seconds")
        self._threshold = threshold
        self._cooldown = cooldown
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._opened_at: float | None = None
        self._probe_at: float | None = None

    def acquire(self) -> float:
        """Ask to make a call. 0.0: go ahead and report back. More: refused, for that many seconds."""
        with self._lock:
            if self._opened_at is None:
                return 0.0
            now = self._clock()
            # A probe that never reported back must not keep the circuit open for ever.
            since = self._opened_at if self._probe_at is None else self._probe_at
            wait = since + self._cooldown - now
            if wait > 0:
                return wait
            self._probe_at = now
            return 0.0

    def succeeded(self) -> None:
        """The service answered, with whatever status: it is there."""
        with self._lock:
            self._failures = 0
            self._opened_at = self._probe_at = None

    def failed(self) -> None:
        """Nobody answered."""
        with self._lock:
            self._failures += 1
            if self._probe_at is not None or self._failures >= self._threshold:
                self._opened_at = self._clock()
                self._probe_at = None

    def abandoned(self) -> None:
        """The call was given up before its outcome was known: another one may probe."""
        with self._lock:
            self._probe_at = None

    @property
    def is_open(self) -> bool:
        """Whether calls are being refused or probed, rather than passed freely."""
        return self._opened_at is not None
