"""How often something is tried, and when again. Pure."""

from __future__ import annotations

from datetime import timedelta

ATTEMPTS = 7


def wait_after(attempts: int, base_seconds: float) -> timedelta | None:
    """How long to wait after so many failed attempts: 1, 2, 4, 8, 16, 32 times the base; ``None``: no more."""
    return timedelta(seconds=base_seconds * 2 ** (attempts - 1)) if attempts < ATTEMPTS else None
