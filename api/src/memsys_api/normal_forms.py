"""One text in the ways that Unicode has of writing it: é is one character, or an e and a mark. Pure and linear.

Texts are stored and answered as they came. Whatever reads or compares them reads them composed, or a name out of a
file's name on macOS, a PDF or some keyboards would be another than the same name typed; see docs/decisions/0083.
"""

from __future__ import annotations

import unicodedata
from typing import Literal

MOST_MARKS = 30
"""In a row, as in Unicode's Stream-Safe Text Format: no language writes more, and sorting them takes quadratic time."""

_DECOMPOSED_INTO_MARKS = frozenset("\u0f73\u0f75\u0f81\uff9e\uff9f")


def composed(text: str) -> str:
    """Return the text in NFC; heaps of more than :data:`MOST_MARKS` marks are left as they are."""
    return _written("NFC", text)


def compatible(text: str) -> str:
    """Return the text in NFKC, in which ``x²`` is ``x2``; but for heaps, as above."""
    return _written("NFKC", text)


def spellings(text: str) -> list[str]:
    """Return the text as it is, composed (NFC) and decomposed (NFD), each once: what the same text may be stored as."""
    return list(dict.fromkeys((text, composed(text), _written("NFD", text))))


def is_mark(character: str) -> bool:
    """Whether it goes on top of the character before, or turns into what does."""
    return unicodedata.combining(character) > 0 or character in _DECOMPOSED_INTO_MARKS


def _written(form: Literal["NFC", "NFD", "NFKC"], text: str) -> str:
    if text.isascii():
        return text
    parts: list[str] = []
    done = 0
    for place in range(MOST_MARKS, len(text), MOST_MARKS + 1):  # no heap lies between two of these places
        if place < done or not is_mark(text[place]):
            continue
        start, end = place, place + 1
        while start > done and is_mark(text[start - 1]):
            start -= 1
        while end < len(text) and is_mark(text[end]):
            end += 1
        if end - start > MOST_MARKS:
            parts += unicodedata.normalize(form, text[done:start]), text[start:end]
            done = end
    return "".join((*parts, unicodedata.normalize(form, text[done:])))
