from hypothesis import given
from hypothesis import strategies as st

from memsys import CircuitBreaker


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def opened(threshold: int = 3, cooldown: float = 5.0) -> tuple[CircuitBreaker, Clock]:
    clock = Clock()
    breaker = CircuitBreaker(threshold, cooldown, clock)
    for _ in range(threshold):
        assert breaker.acquire() == 0
        breaker.failed()
    return breaker, clock


def test_it_opens_after_a_run_of_failures_and_says_how_long():
    breaker, clock = opened()
    assert breaker.is_open
    assert breaker.acquire() == 5.0
    clock.now += 3
    assert breaker.acquire() == 2.0


def test_one_success_forgives_the_failures_before_it():
    breaker = CircuitBreaker(3)
    for _ in range(10):
        breaker.failed()
        breaker.failed()
        breaker.succeeded()
    assert not breaker.is_open


def test_one_probe_passes_and_its_success_closes():
    breaker, clock = opened()
    clock.now += 5
    assert breaker.acquire() == 0
    assert breaker.acquire() > 0, "a second caller waits for the probe"
    breaker.succeeded()
    assert breaker.acquire() == 0
    assert not breaker.is_open


def test_a_failed_probe_opens_for_another_cooldown():
    breaker, clock = opened()
    clock.now += 5
    assert breaker.acquire() == 0
    breaker.failed()
    assert breaker.acquire() == 5.0


def test_an_abandoned_probe_lets_the_next_one_pass():
    breaker, clock = opened()
    clock.now += 5
    assert breaker.acquire() == 0
    breaker.abandoned()
    assert breaker.acquire() == 0


def test_a_probe_that_never_reports_does_not_block_for_ever():
    breaker, clock = opened()
    clock.now += 5
    assert breaker.acquire() == 0
    clock.now += 5
    assert breaker.acquire() == 0


@given(st.lists(st.sampled_from(["ok", "fail", "abandon", "tick"]), max_size=80))
def test_it_refuses_only_after_a_run_of_failures_and_never_longer_than_the_cooldown(events: list[str]):
    clock = Clock()
    breaker = CircuitBreaker(3, 5.0, clock)
    run = 0
    for event in events:
        if event == "tick":
            clock.now += 1
            continue
        wait = breaker.acquire()
        if wait:
            assert run >= 3
            assert wait <= 5.0
            continue
        if event == "ok":
            breaker.succeeded()
            run = 0
        elif event == "fail":
            breaker.failed()
            run += 1
        else:
            breaker.abandoned()
    clock.now += 10
    assert breaker.acquire() == 0, "after the cooldown somebody may always ask"
