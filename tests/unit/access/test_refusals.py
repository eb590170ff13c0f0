"""Wrong keys are slowed down by address, in bounded memory."""

from __future__ import annotations

from memsys_api.access import refusals
from memsys_api.access.refusals import Refusals


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_an_address_may_try_a_minute_s_worth_and_then_as_fast_as_the_limit() -> None:
    clock = Clock()
    tried = Refusals(30, clock)
    for _ in range(30):
        assert tried.wait("a") == 0
        tried.count("a")
    assert tried.wait("a") == 2
    assert tried.wait("b") == 0
    clock.now += 1.5
    assert tried.wait("a") == 0.5
    clock.now += 1
    assert tried.wait("a") == 0
    clock.now += 3600
    for _ in range(30):
        tried.count("a")
    assert tried.wait("a") > 0


def test_memory_is_bounded_and_the_last_to_try_are_remembered() -> None:
    tried = Refusals(1, Clock())
    for n in range(refusals._REMEMBERED + 10):
        tried.count(str(n))
    assert len(tried._left) == refusals._REMEMBERED
    assert tried.wait("0") == 0
    assert tried.wait(str(refusals._REMEMBERED + 9)) > 0
