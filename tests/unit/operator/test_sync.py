from __future__ import annotations

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
    assert not sync.failed("away").due


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
    body = {"checked": 9, "missing": 1, "stale": 1, "unexpected": 2, "complete": False, "samples": samples}
    assert sync.read_drift(body) == sync.Drift(4, False, (ONE, OTHER))


@pytest.mark.parametrize(
    ("first", "second", "lasting"),
    [
        (sync.Drift(1, True, (ONE,)), sync.Drift(1, True, (OTHER,)), sync.Drift()),
        (sync.Drift(1, True, (ONE,)), sync.Drift(), sync.Drift()),
        (sync.Drift(1, True, (ONE,)), sync.Drift(2, True, (ONE, OTHER)), sync.Drift(1, True, (ONE,))),
        (sync.Drift(500, True, (ONE,)), sync.Drift(400, False, (ONE,)), sync.Drift(400, False, (ONE,))),
    ],
)
def test_only_what_two_comparisons_find_is_drift(first: sync.Drift, second: sync.Drift, lasting: sync.Drift) -> None:
    assert sync.confirmed(first, second) == lasting


@pytest.mark.parametrize(
    ("report", "last", "overdue", "due"),
    [
        (QUIET, QUIET, False, False),
        (QUIET, QUIET, True, True),
        (QUIET, None, False, True),
        (QUIET, sync.SyncReport(available=True), False, True),
        (QUIET, sync.SyncReport(available=False, drift=sync.Drift()), False, True),
        (QUIET, sync.failed("away"), False, True),
        (QUIET, sync.SyncReport(available=True, drift=sync.Drift(1, True, (ONE,))), False, True),
        (QUIET, sync.SyncReport(available=True, drift=sync.Drift(1, True, (ONE,), stuck=True)), False, False),
        (QUIET, sync.SyncReport(available=True, drift=sync.Drift(1, True, (ONE,), stuck=True)), True, True),
        (sync.SyncReport(available=False), QUIET, True, False),
        (sync.SyncReport(available=True, parked=1), QUIET, True, False),
        (sync.failed("away"), QUIET, True, False),
    ],
)
def test_when_both_stores_are_compared(
    report: sync.SyncReport, last: sync.SyncReport | None, overdue: bool, due: bool
) -> None:
    assert sync.compares(report, last, overdue=overdue) is due


def test_a_look_that_compared_and_one_that_did_not_say_the_same_of_a_quiet_graph() -> None:
    assert sync.SyncReport(drift=sync.Drift(), compared=True) == sync.SyncReport(drift=sync.Drift())
