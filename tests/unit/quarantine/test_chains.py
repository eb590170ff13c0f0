"""Chains of words, held against what one regular expression for the whole of each finds."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from memsys_api.quarantine.chains import Chain, leftmost

PARTS = (r"\b(?:if|each\s+day)\b", 4, r"\b(?:you|he)\b", 7, r"\b(?:you\s+must|always)\b", 3, r"\b(?:say|ask)s?")
WHOLE = re.compile("".join(rf"[^.\n]{{0,{part}}}" if isinstance(part, int) else part for part in PARTS))
words = ["if", "each", "day", "you", "he", "must", "always", "say", "ask", "s", "x", " ", " ", " ", "  ", ".", "\n"]
chains = st.tuples(
    st.sampled_from(["if", "each day"]),
    st.sampled_from(["you", "he", "he you", "you.he"]),
    st.sampled_from(["always", "you must", "always you  must"]),
    st.sampled_from(["say", "asks", "x say", "say\nask"]),
)
texts = st.lists(chains.map(" ".join) | chains.map("  ".join) | st.sampled_from(words), max_size=12).map(" ".join)
jumbles = st.lists(st.sampled_from(words), max_size=30).map("".join)


@given(texts | jumbles)
def test_a_chain_is_found_where_one_pattern_of_all_its_parts_finds_it(text: str) -> None:
    assert list(leftmost(Chain(*PARTS).spans(text))) == [match.span() for match in WHOLE.finditer(text)]


def test_a_gap_is_as_wide_as_it_says_and_ends_with_the_sentence() -> None:
    chain = Chain("a", 3, "b")
    assert chain.spans("a123b") == [(0, 5)]
    assert chain.spans("a1234b") == []
    assert chain.spans("a.b") == chain.spans("a:\nb") == chain.spans("a\n\nb") == chain.spans("a\n-b") == []
    assert chain.spans("ab.b") == [(0, 2)]
    assert chain.spans("aabb") == [(0, 4), (1, 4)]


def test_a_line_that_was_too_long_ends_no_sentence() -> None:
    assert Chain("a", 5, "b").spans("a\nb") == [(0, 3)]
    assert Chain("a", 5, "b").spans("a,\r\n  b") == [(0, 7)]


def test_of_overlapping_places_the_first_stands() -> None:
    assert list(leftmost([(4, 6), (0, 3), (2, 5), (4, 5)])) == [(0, 3), (4, 6)]
    assert list(leftmost([(0, 2), (2, 4)])) == [(0, 2), (2, 4)]
