"""Positions in the log of changes: written and read back, and what they have missed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memsys_api.store.positions import Position, Watch, parse

numbers = st.integers(0, 2**63 - 1)
positions = st.builds(
    lambda epoch, ends, change_id: Position(f"{epoch:x}", min(ends), max(ends), change_id),
    st.integers(0, 2**96 - 1), st.tuples(numbers, numbers), numbers,
)  # fmt: skip


@given(positions)
def test_a_position_is_read_back_as_it_was(position: Position) -> None:
    assert parse(str(position)) == position


@given(st.text(max_size=80))
def test_anything_else_is_none_or_means_what_it_says(text: str) -> None:
    position = parse(text)
    assert position is None or parse(str(position)) == position


@pytest.mark.parametrize(
    "text", ["", "5", "1-aa-2-1-0", "1-aa-1-2", "2-aa-1-2-3", "1-aa-1-2-3\n", "1-aa-1-ffffffffffffffff-0"]
)
def test_what_is_no_position(text: str) -> None:
    assert parse(text) is None


def test_only_what_it_has_not_seen_is_missed() -> None:
    position = Position("a", 100, 200, 50)
    assert not position.missed(99, 60)  # an earlier stretch
    assert not position.missed(150, 50)  # this stretch, behind it
    assert position.missed(150, 51)
    assert position.missed(200, 1)


def test_there_is_news_when_a_number_is_given_out_and_until_its_transaction_has_ended() -> None:
    watch = Watch()
    assert watch.look(last=7, xmin=100, xmax=100)
    assert not watch.look(last=7, xmin=100, xmax=100)
    assert watch.look(last=8, xmin=100, xmax=103)  # begun
    assert not watch.look(last=8, xmin=100, xmax=110)  # still under way
    assert watch.look(last=8, xmin=102, xmax=110)  # some of it has ended
    assert watch.look(last=8, xmin=104, xmax=110)  # all of it
    assert not watch.look(last=8, xmin=109, xmax=110)  # others' transactions
