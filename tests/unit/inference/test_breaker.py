"""The breaker against a plain model of what it promises, over any sequence of calls, outcomes and time."""

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from memsys_api.inference.breaker import Breaker, Rules

RULES = Rules(failures=3, first_pause=1.0, longest_pause=8.0, most_obeyed=100.0, probe_seconds=30.0)

ROUNDING = 1e-6  # of adding and subtracting floats


def opened(breaker: Breaker, now: float = 0.0) -> Breaker:
    for _ in range(RULES.failures):
        breaker, ticket = breaker.acquire(now)
        assert ticket is not None
        breaker = breaker.failed(ticket, now)
    return breaker


def test_opens_after_failures_in_a_row_only() -> None:
    breaker = Breaker(RULES)
    for _ in range(5):
        for _ in range(RULES.failures - 1):
            breaker = breaker.failed(breaker.ticket, 0.0)
        assert breaker.state == "closed"
        breaker = breaker.succeeded(breaker.ticket)
    breaker = opened(breaker)
    assert breaker.state == "open"
    assert breaker.acquire(0.99)[1] is None
    assert breaker.seconds_left(0.25) == 0.75


def test_one_probe_goes_and_its_success_closes() -> None:
    breaker, probe = opened(Breaker(RULES)).acquire(1.0)
    assert probe is not None
    assert breaker.acquire(1.1)[1] is None
    breaker = breaker.succeeded(probe)
    assert breaker.state == "closed"
    assert breaker.failures == 0


def test_failed_probes_double_the_pause_up_to_the_longest() -> None:
    breaker, now, pauses = opened(Breaker(RULES)), 0.0, []
    for _ in range(6):
        pauses.append(breaker.pause)
        now = breaker.until
        breaker, probe = breaker.acquire(now)
        assert probe is not None
        breaker = breaker.failed(probe, now)
    assert pauses == [1.0, 2.0, 4.0, 8.0, 8.0, 8.0]


def test_a_provider_that_says_when_is_obeyed_at_once_within_reason() -> None:
    breaker = Breaker(RULES)
    assert breaker.failed(breaker.ticket, 0.0, retry_after=20.0).until == 20.0
    assert breaker.failed(breaker.ticket, 0.0, retry_after=1e9).until == RULES.most_obeyed


def test_a_lost_probe_does_not_hold_the_breaker_for_ever() -> None:
    breaker, lost = opened(Breaker(RULES)).acquire(1.0)
    assert breaker.acquire(30.9)[1] is None
    breaker, next_probe = breaker.acquire(31.0)
    assert next_probe is not None
    assert breaker.failed(lost or 0, 31.0) == breaker  # the lost one's outcome comes too late to count
    assert breaker.succeeded(next_probe).state == "closed"


def test_an_abandoned_probe_lets_another_go_at_once() -> None:
    breaker, probe = opened(Breaker(RULES)).acquire(1.0)
    assert probe is not None
    assert breaker.abandoned(probe, 1.5).acquire(1.5)[1] is not None


class AnySequence(RuleBasedStateMachine):
    calls = Bundle("calls")

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker(RULES)
        self.now = 0.0
        self.opened_at: float | None = None
        self.probes = 0

    @rule(seconds=st.floats(0, 40))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(target=calls)
    def call(self) -> int:
        before = self.breaker
        self.breaker, ticket = self.breaker.acquire(self.now)
        if before.state == "closed":
            assert ticket is not None
        elif ticket is None:
            assert self.now < before.until
            assert self.breaker == before
        else:
            assert self.now >= before.until
            assert self.breaker.state == "half-open"
        return -1 if ticket is None else ticket

    @rule(ticket=consumes(calls))
    def succeeds(self, ticket: int) -> None:
        before = self.breaker
        self.breaker = self.breaker.succeeded(ticket)
        if ticket == before.ticket and before.state != "open":
            assert (self.breaker.state, self.breaker.failures) == ("closed", 0)
        else:
            assert self.breaker == before

    @rule(ticket=consumes(calls), retry_after=st.none() | st.floats(0, 200))
    def fails(self, ticket: int, retry_after: float | None) -> None:
        before = self.breaker
        self.breaker = self.breaker.failed(ticket, self.now, retry_after=retry_after)
        if ticket != before.ticket or before.state == "open":
            assert self.breaker == before
        elif self.breaker.state == "open":
            assert self.breaker.until >= self.now + min(retry_after or 0.0, RULES.most_obeyed)

    @rule(ticket=consumes(calls))
    def is_abandoned(self, ticket: int) -> None:
        before = self.breaker
        self.breaker = self.breaker.abandoned(ticket, self.now)
        assert self.breaker.failures == before.failures

    @invariant()
    def it_never_stays_away_for_longer_than_it_says(self) -> None:
        left = self.breaker.seconds_left(self.now)
        assert 0 <= left <= max(RULES.most_obeyed, RULES.probe_seconds) + ROUNDING
        assert self.breaker.acquire(self.now + left + ROUNDING)[1] is not None

    @invariant()
    def closed_means_few_failures(self) -> None:
        if self.breaker.state == "closed":
            assert self.breaker.failures < RULES.failures


TestAnySequence = AnySequence.TestCase
