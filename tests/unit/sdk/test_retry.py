from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memsys import RetryPolicy
from memsys.retry import parse_retry_after

policies = st.builds(RetryPolicy, attempts=st.integers(1, 8), base=st.floats(0, 5), cap=st.floats(0, 60))


@given(policies, st.integers(1, 20), st.floats(0, 100), st.one_of(st.none(), st.floats(0, 100)))
def test_a_pause_fits_what_remains_and_never_undercuts_the_service(
    policy: RetryPolicy, failures: int, remaining: float, retry_after: float | None
):
    pause = policy.pause(failures, remaining=remaining, retry_after=retry_after)
    if failures >= policy.attempts:
        assert pause is None
    elif pause is not None:
        assert 0 <= pause < remaining
        assert pause >= (retry_after or 0)
        assert pause <= max(policy.cap, retry_after or 0)


@given(policies, st.integers(1, 20))
def test_the_jitter_is_full_and_its_ceiling_doubles_up_to_the_cap(policy: RetryPolicy, failures: int):
    asked: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        asked.append((low, high))
        return high

    policy.pause(failures, remaining=1e9, uniform=uniform)
    if failures < policy.attempts:
        assert asked == [(0.0, min(policy.cap, policy.base * 2 ** (failures - 1)))]


def test_a_wish_beyond_the_time_left_gives_up_at_once():
    assert RetryPolicy().pause(1, remaining=5, retry_after=30) is None


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        (" 0 ", 0.0),
        ("Fri, 20 Nov 2026 23:00:30 GMT", 30.0),
        ("Fri, 20 Nov 2026 22:00:00 GMT", 0.0),
        ("soon", None),
        ("-3", None),
        ("", None),
    ],
)
def test_retry_after(header: str | None, seconds: float | None):
    assert parse_retry_after(header, datetime(2026, 11, 20, 23, 0, tzinfo=UTC)) == seconds


@pytest.mark.parametrize("wrong", [{"attempts": 0}, {"base": -1.0}, {"cap": -0.1}])
def test_a_policy_that_makes_no_sense_is_refused(wrong: dict[str, float]):
    with pytest.raises(ValueError, match="attempts must be at least 1"):
        RetryPolicy(**wrong)  # type: ignore[arg-type]
