"""Cursors."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memsys_api.problems import ProblemError
from memsys_api.routes.common import read_cursor, write_cursor


@given(st.none() | st.integers(0, 2**63 - 1))
def test_a_cursor_reads_back(position: int | None) -> None:
    assert read_cursor(write_cursor(position)) == position


@given(st.text(max_size=40))
def test_any_text_is_a_position_or_refused(text: str) -> None:
    with suppress(ProblemError):
        position = read_cursor(text)
        assert position is not None
        assert 0 <= position < 2**63


@pytest.mark.parametrize("cursor", ["", "c", "5", "c-5", "cxyz", "c" + "f" * 16])
def test_what_was_never_given_out_is_refused(cursor: str) -> None:
    with pytest.raises(ProblemError) as refused:
        read_cursor(cursor)
    assert [e.field for e in refused.value.errors] == ["cursor"]
