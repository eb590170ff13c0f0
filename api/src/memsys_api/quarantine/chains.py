"""Words that follow one another within a sentence, found in time that grows with the text's length alone. Pure.

One regular expression for "if ... you ... always ... say" tries every "you" for every "if", every "always" for each of
these, and so on: a text of nothing but such words takes it seconds. Here each kind of word is looked for once.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence

Span = tuple[int, int]
"""Where something begins in a text and where it ends, in characters."""

_END_OF_SENTENCE = re.compile(r"\.|(?<![\w,])(?<![\w,]\r)\n|\n(?![ \t]{0,8}\w)")
"""A full stop or the end of a line; but a line that ends in a word before another word was only too long."""
_LOOKS_ON = 10  # characters behind a line's end


class Chain:
    """Patterns whose matches follow one another, none but the last with more than so many characters after it."""

    def __init__(self, *parts: str | int) -> None:
        """Regular expressions, and between each two of them the most characters that may lie there.

        Matches of one of them must not overlap, unless they end together; characters are told by case.
        """
        self._patterns = [re.compile(part) for part in parts if isinstance(part, str)]
        self._gaps = [part for part in parts if isinstance(part, int)]

    def spans(self, text: str) -> list[Span]:
        """Every place where a chain begins, with the end of the one that reaches farthest at each of its steps."""
        found: list[list[Span]] = []
        for pattern in self._patterns:
            found.append([match.span() for match in pattern.finditer(text)])
            if not found[-1]:
                return []
        following = found.pop()
        for gap, places in zip(reversed(self._gaps), reversed(found), strict=True):
            following = list(_leading_on(text, places, gap, following))
        return following


def _leading_on(text: str, places: Sequence[Span], gap: int, following: Sequence[Span]) -> Iterator[Span]:
    """The places near enough behind which something follows, each with the end of the last that does."""
    begins = [begin for begin, _ in following]
    for begin, end in places:
        stop = _END_OF_SENTENCE.search(text, end, end + gap + _LOOKS_ON)
        last = bisect_right(begins, min(stop.start(), end + gap) if stop else end + gap) - 1
        if last >= 0 and begins[last] >= end:
            yield begin, following[last][1]


def leftmost(spans: Iterable[Span]) -> Iterator[Span]:
    """Of places that overlap the one that begins first; of those that begin together the first that is given."""
    behind = 0
    for begin, end in sorted(spans, key=lambda span: span[0]):
        if begin >= behind:
            yield begin, end
            behind = end
