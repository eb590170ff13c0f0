"""Comparing what should be with what is."""

from __future__ import annotations

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from memsys_api.sinks.drift import Drift, State

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
    assert drift.checked == len(looked_at)
    assert drift.missing == len({i for i in different if i not in projection})
    assert drift.unexpected == len({i for i in different if i not in truth})
    assert drift.missing + drift.unexpected + drift.stale == len(different)
    assert {sample.memory_id for sample in drift.samples} == different


def test_samples_are_bounded() -> None:
    drift = Drift()
    drift.compare("p", {UUID(int=n): State(1, "a") for n in range(500)}, {}, set())
    assert (drift.missing, len(drift.samples)) == (500, 100)
