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
