"""What can stand in a header, told before anything is sent: HTTP libraries quote what they refuse, keys too. Pure."""

from __future__ import annotations

import re

_WORD = re.compile(r"[!-~]+")
_WORDS = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_REMEDY = "look for a line end or a blank at its ends, and for typographic quotes"


def word(name: str, value: str) -> str:
    """The value, where it is ASCII without blanks. :class:`ValueError` names ``name`` and does not quote the value."""
    if not _WORD.fullmatch(value):
        raise ValueError(_refused(name, value, "ASCII without blanks"))
    return value


def words(name: str, value: str) -> str:
    """As :func:`word`, but with blanks between."""
    if not _WORDS.fullmatch(value):
        raise ValueError(_refused(name, value, "ASCII without blanks at its ends"))
    return value


def _refused(name: str, value: str, carried: str) -> str:
    if not value:
        return f"{name} is empty; give one, or none at all"
    return f"{name} has characters that this header does not carry, only printable {carried}; {_REMEDY}"
