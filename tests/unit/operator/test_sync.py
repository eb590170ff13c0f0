from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memsys_operator import sync


def test_an_answer_of_the_api_becomes_a_report() -> None:
    body = {"provider": "neo4j", "available": True, "pending": 3, "parked": 1, "lag_seconds": 12.7, "last_error": "x"}
    assert sync.read(body) == sync.SyncReport(True, 3, 1, 10, "x")


@given(st.floats(0, 1e6))
def test_the_lag_is_rounded_down_to_tens(lag: float) -> None:
    rounded = sync.read({"lag_seconds": lag}).lag_seconds
    assert rounded % 10 == 0
    assert 0 <= lag - rounded < 10


@pytest.mark.parametrize(
    ("available", "parked", "due"), [(True, 1, True), (False, 1, False), (True, 0, False), (False, 0, False)]
)
def test_a_sync_is_driven_when_something_is_parked_and_the_graph_answers(
    available: bool, parked: int, due: bool
) -> None:
    assert sync.SyncReport(available=available, parked=parked).due is due


def test_an_api_that_was_not_reached_is_nothing_to_drive() -> None:
    assert not sync.failed("away", sync.Walk()).due


@pytest.mark.parametrize("body", [{"pending": "many"}, {"lag_seconds": [1]}])
def test_an_answer_that_makes_no_sense_is_an_error(body: dict[str, object]) -> None:
    with pytest.raises((ValueError, TypeError)):
        sync.read(body)


ONE, OTHER = sync.Difference("p", "1"), sync.Difference("p", "2")
QUIET = sync.SyncReport(available=True, drift=sync.Drift())


def test_a_comparison_counts_every_kind_of_difference_and_names_some() -> None:
    samples = [
        {"project": "p", "memory_id": "2", "kind": "stale"},
        {"project": "p", "memory_id": "1", "kind": "missing"},
    ]
    samples.append({"project": "p", "memory_id": None, "kind": "stray"})
    body = {"missing": 1, "stale": 1, "unexpected": 2, "strays": 3, "cursor": "p/2", "samples": samples}
    assert sync.read_drift(body) == sync.Drift(7, (sync.Difference("p", ""), ONE, OTHER), "p/2")


@pytest.mark.parametrize(
    ("first", "second", "lasting"),
    [
        (sync.Drift(1, (ONE,)), sync.Drift(1, (OTHER,)), sync.Drift()),
        (sync.Drift(1, (ONE,)), sync.Drift(), sync.Drift()),
        (sync.Drift(1, (ONE,)), sync.Drift(2, (ONE, OTHER)), sync.Drift(1, (ONE,))),
        (sync.Drift(500, (ONE,)), sync.Drift(400, (ONE,)), sync.Drift(400, (ONE,))),
    ],
)
def test_only_what_two_comparisons_find_is_drift(first: sync.Drift, second: sync.Drift, lasting: sync.Drift) -> None:
    assert sync.confirmed(first, second) == lasting


WAITING = sync.SyncReport(available=True, drift=sync.Drift(1, (ONE,)), walk=sync.Walk(started=1000))
RESTING = sync.SyncReport(available=True, drift=sync.Drift(), walk=sync.Walk(started=1000))


@pytest.mark.parametrize(
    ("report", "last", "due"),
    [
        (QUIET, None, True),  # nothing was ever compared
        (RESTING, RESTING, False),
        (replace(RESTING, walk=sync.Walk(started=400)), RESTING, True),
        (replace(RESTING, walk=sync.Walk(started=1000, cursor="p/")), RESTING, True),
        (RESTING, sync.SyncReport(available=False), True),
        (RESTING, sync.failed("away", sync.Walk()), True),
        (WAITING, WAITING, True),
        (replace(QUIET, available=False), QUIET, False),
        (replace(QUIET, parked=1), QUIET, True),
        (sync.failed("away", sync.Walk()), QUIET, False),
    ],
)
def test_when_both_stores_are_compared(report: sync.SyncReport, last: sync.SyncReport | None, due: bool) -> None:
    assert sync.compares(report, last, now=1000, interval=600) is due


def test_a_cycle_lasts_from_its_beginning_to_the_next_and_no_less_than_the_interval() -> None:
    walk = sync.Walk().begun(1000)
    for now, cursor in ((1000, "p/a"), (1030, "p/b"), (1061, None)):
        walk = walk.begun(now).stepped(cursor, 0, now, 30)
    assert walk == sync.Walk(None, started=1000, finished=1061, cycle_seconds=70)
    assert walk.begun(2000).stepped(None, 0, 2000, 600).cycle_seconds == 600


def test_what_cannot_be_mended_is_known_until_a_full_cycle_has_not_found_it() -> None:
    walk = sync.Walk().begun(0).stepped("p/a", 2, 0, 30).stepped(None, 1, 1, 30)
    assert walk.unmended == 3
    walk = walk.begun(100).stepped("p/a", 0, 100, 30)
    assert walk.unmended == 3
    assert walk.stepped(None, 1, 101, 30).unmended == 1


TIMES = st.none() | st.integers(0, 2**32)


@given(st.builds(sync.Walk, st.none() | st.just("p/1"), TIMES, TIMES, st.none() | st.integers(0, 9999)))
def test_a_restarted_operator_goes_on_where_the_walk_stood(walk: sync.Walk) -> None:
    again = sync.restored(sync.written(walk))
    assert (again.cursor, again.finished, again.cycle_seconds) == (walk.cursor, walk.finished, walk.cycle_seconds)
    assert again.started == (walk.started if walk.cursor else None)
