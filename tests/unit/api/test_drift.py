"""Comparing what should be with what is."""

from __future__ import annotations

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from memsys_api.sinks.drift import Drift, State, range_hash, shared_end

PAGES = st.dictionaries(
    st.integers(0, 30).map(lambda n: UUID(int=n)), st.builds(State, st.integers(1, 3), st.sampled_from("ab"))
)


@given(PAGES, PAGES, st.sets(st.integers(0, 30).map(lambda n: UUID(int=n))))
def test_every_difference_is_counted_once_and_nothing_else(
    truth: dict[UUID, State], projection: dict[UUID, State], queued: set[UUID]
) -> None:
    drift = Drift()
    drift.compare("p", truth, projection, queued)
    looked_at = (truth.keys() | projection.keys()) - queued
    different = {i for i in looked_at if truth.get(i) != projection.get(i)}
    assert drift.missing == len({i for i in different if i not in projection})
    assert drift.unexpected == len({i for i in different if i not in truth})
    assert drift.missing + drift.unexpected + drift.stale == len(different)
    assert {sample.memory_id for sample in drift.samples} == different


def test_samples_are_bounded() -> None:
    drift = Drift()
    drift.compare("p", {UUID(int=n): State(1, "a") for n in range(500)}, {}, set())
    assert (drift.missing, len(drift.samples)) == (500, 100)


@given(PAGES, PAGES)
def test_ranges_are_equal_when_and_only_when_their_contents_are(
    truth: dict[UUID, State], projection: dict[UUID, State]
) -> None:
    assert (range_hash(truth) == range_hash(projection)) is (truth == projection)
    assert range_hash(dict(reversed(truth.items()))) == range_hash(truth)


@given(st.sets(st.integers(0, 60)), st.sets(st.integers(0, 60)), st.integers(1, 9))
def test_a_walk_of_two_pages_at_a_time_meets_everything_once(one: set[int], other: set[int], limit: int) -> None:
    met, after, walking = [], None, True
    while walking:
        pages = [
            sorted(UUID(int=n) for n in ids if after is None or UUID(int=n) > after)[:limit] for ids in (one, other)
        ]
        after = shared_end(*pages, limit)
        met += [i.int for i in {*pages[0], *pages[1]} if after is None or i <= after]
        walking = after is not None
    assert sorted(met) == sorted(one | other)
