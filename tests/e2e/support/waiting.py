"""Waiting for a condition instead of sleeping for a result."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

POLL_SECONDS = 0.5


def eventually(what: str, probe: Callable[[], T | bool | None], *, within: float) -> T:
    """Return the first truthy answer of ``probe``.

    An exception of the probe counts as "not yet". Raises AssertionError after ``within`` seconds, naming what was
    waited for and what the probe last said.
    """
    deadline = time.monotonic() + within
    last: object = None
    while time.monotonic() < deadline:
        try:
            answer = probe()
            if answer:
                return answer  # type: ignore[return-value]
            last = answer
        except Exception as error:
            last = error
        time.sleep(POLL_SECONDS)
    raise AssertionError(f"waited {within:.0f} s for {what}; last seen: {last!r}")
