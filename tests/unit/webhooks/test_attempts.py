"""Seven attempts, at 0, 1, 3, 7, 15, 31 and 63 seconds."""

from __future__ import annotations

from itertools import accumulate

from memsys_api.sinks.attempts import ATTEMPTS, wait_after


def test_the_waits_double_and_end() -> None:
    waits = [wait_after(attempts, 1.0) for attempts in range(1, ATTEMPTS)]
    assert list(accumulate(wait.total_seconds() for wait in waits if wait)) == [1, 3, 7, 15, 31, 63]
    assert wait_after(ATTEMPTS, 1.0) is None
