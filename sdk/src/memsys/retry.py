"""When to try again, and after how long. Pure: outcomes in, seconds out."""

from __future__ import annotations

import email.utils
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

RETRYABLE_STATUSES = frozenset({429, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Full jitter: before retry ``n`` (from 0), wait between 0 and ``min(cap, base * 2**n)`` seconds."""

    attempts: int = 4
    base: float = 0.1
    cap: float = 2.0

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.base < 0 or self.cap < 0:
            raise ValueError("attempts must be at least 1; base and cap must not be negative")

    def pause(
        self,
        failures: int,
        *,
        remaining: float,
        retry_after: float | None = None,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> float | None:
        """Seconds to wait after the ``failures``-th failed attempt (from 1), or ``None`` to give up.

        ``remaining`` is what is left of the call's time; a pause that would use it up is not worth starting.
        ``retry_after`` is the service's own wish and is never undercut.
        """
        if failures >= self.attempts:
            return None
        wait = uniform(0.0, min(self.cap, self.base * 2 ** (failures - 1)))
        if retry_after is not None:
            wait = max(wait, retry_after)
        return wait if wait < remaining else None


def parse_retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """Seconds from a Retry-After header, which holds seconds or an HTTP date; ``None`` for neither."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - (now or datetime.now(UTC))).total_seconds())
