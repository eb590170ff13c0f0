"""When two texts are the same statement written twice. Pure.

A duplicate that is missed is stored twice; a fact that is taken for another is lost. So only what never carries meaning
is left out, and whatever might carry some is kept.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata

from memsys_api.normal_forms import composed

_LETTER = r"[^\W\d_]"
# Around letters alone: "[0, 5)" and "[0, 5]", 5' and 5" and "5!" are not each other.
_BEFORE = re.compile(rf"^[\"'`´‘’“”„«»(\[{{¡¿「『]+(?={_LETTER})")
_AFTER = re.compile(rf"(?<={_LETTER})[.,;:!…\"'`´‘’“”„«»)\]}}。、」』]+$")
_ENDING = re.compile(r"(?<=[^.,;:…。、])[.,;:…。、]+$")  # of anything: "in 2019."
_ENDINGS = frozenset(".!…。")


def fingerprint(text: str) -> str:
    """Return 32 hex digits, equal for texts that differ only in case, width, spacing and punctuation around words.

    Signs that carry meaning are kept: in a word or beside it ("C++", "C*", "-5", ".5", "$20", "<5"), alone ("< 5"), and
    a question mark. So are small figures: "x²" is not "x2".
    """
    folded = composed(composed(_narrow(text)).casefold())
    words = [_ENDING.sub("", _AFTER.sub("", _BEFORE.sub("", word))) for word in folded.split()]
    while words and _ENDINGS.issuperset(words[-1]):
        words.pop()
    return hashlib.sha256(" ".join(words).encode("utf-8", "replace")).hexdigest()[:32]


def _narrow(text: str) -> str:
    """The text with full-width and half-width forms as the characters that they are forms of; NFKC changes more."""
    return text if text.isascii() else "".join(map(_of_usual_width, text))


def _of_usual_width(character: str) -> str:
    kind, _, usual = unicodedata.decomposition(character).partition(" ")
    return chr(int(usual, 16)) if kind in ("<wide>", "<narrow>") else character
