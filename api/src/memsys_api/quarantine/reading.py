"""A text as it reads: letters that look alike are one, and what cannot be seen is not there. Pure and linear.

A model reads a word with a Cyrillic letter, in mathematical bold, with an accent or with a soft hyphen in it as the
word that it is made to look like. So patterns of words are looked for in this form of a text, and their places in it
lead back to the text as it came.
"""

from __future__ import annotations

import unicodedata
from itertools import compress

# Look-alikes beside what Unicode itself decomposes, after its list of confusable characters (UTS #39).
_CYRILLIC = (
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u0501\u04bb\u051b\u051d\u04cf\u0475\u043a\u043c\u0442"
)
_CYRILLIC_CAPITALS = "\u0410\u0412\u0415\u041d\u0406\u0408\u041a\u041c\u041e\u0420\u0421\u0405\u0422\u0425\u04ae"
_ARMENIAN = "\u0585\u0578\u057d\u0570\u0581\u0575\u0566"
_GREEK = "\u03bf\u03bd\u03b1\u03b9\u03c1\u03c5\u03ba\u03c7\u03c4\u03b5\u03b7\u03b3\u03c9"
_GREEK_CAPITALS = "\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7"
_LATIN = "\u0131\u0261\u0251"
_LOOK_ALIKES = {
    found: meant
    for founds, meants in (
        (_CYRILLIC, "aeopcyxijsdhqwlvkmt"),
        (_CYRILLIC_CAPITALS, "abehijkmopcstxy"),
        (_ARMENIAN, "onuhgjq"),
        (_GREEK, "ovaipukxtenyw"),
        (_GREEK_CAPITALS, "abezhikmnoptyx"),
        (_LATIN, "iga"),
    )
    for found, meant in zip(founds, meants, strict=True)
}
_SHAPELESS = frozenset("\u115f\u1160\u3164\uffa0")
"""Letters, by their category."""
_UNSEEN = frozenset({"Mn", "Me", "Cf"})
"""Marks on letters, and characters that say how others are shown."""
_REMEMBERED = 20_000


class _Read(dict[int, str | None]):
    """What each character reads as, in small letters; ``None``: nothing. Never more than one character."""

    def __missing__(self, code: int) -> str | None:
        read = _read(chr(code))
        if len(self) < _REMEMBERED:
            self[code] = read
        return read


def _read(character: str) -> str | None:
    if unicodedata.category(character) in _UNSEEN or character in _SHAPELESS:
        return None
    first, *others = list(unicodedata.normalize("NFKD", character))
    if others and not all(unicodedata.combining(other) for other in others):
        first = character  # it reads as several, such as a ligature
    read = _LOOK_ALIKES.get(first, first).lower()
    return read if len(read) == 1 else first


_READ = _Read()


def as_read(text: str) -> str:
    """Return what the text reads as, in small letters."""
    return text.lower() if text.isascii() else text.translate(_READ)


def places(text: str) -> list[int]:
    """Return where in the text each character of what it reads as stands."""
    return list(compress(range(len(text)), (_READ[ord(character)] is not None for character in text)))
