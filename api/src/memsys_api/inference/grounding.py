"""Whether a statement could have come from what was said, by the words and numbers they share. Pure.

Cheap and lenient: it flags, it does not judge. Dates are left out, because resolving "yesterday" makes new ones.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Set

from memsys_api.normal_forms import compatible

ENOUGH = 0.25  # the share of a statement's own units that must be found in what was said
_STEM = 5  # characters of a word that are compared: "painting" and "painted" agree
_WORD = re.compile(r"[^\W_]+")
_EMPTY = frozenset(
    _WORD.findall(
        """
        user users assistant agent the a an and or but not of to in on at by for from with about into than then that
        this these those is are was were be been being has have had do does did will would can could should may might
        their they them his him her hers she he it its who whom which what when where why how there here as also very
        more most other currently recently around during while after before since until because wants want likes like
        feels feel january february march april may june july august september october november december
        monday tuesday wednesday thursday friday saturday sunday
        """
    )
)


def grounded(
    statement: str, heard: Set[str], *, known: Set[str] = frozenset(), speakers: Set[str] = frozenset()
) -> bool:
    """Whether at least a quarter of the statement's meaningful :func:`units` are among the units in ``heard``.

    Units that the statement repeats from ``known`` (what it replaces or continues) do not count against it, as long
    as it has others. Those of ``speakers``, who are known to speak, count neither for nor against it.
    """
    own = units(statement)
    own = (own - known or own) - speakers
    return not own or len(own & heard) / len(own) >= ENOUGH


def units(text: str) -> set[str]:
    """Return the stems and numbers of a text; single characters of scripts that put no spaces between words."""
    found: set[str] = set()
    for word in _WORD.findall(compatible(text).casefold()):
        if word in _EMPTY or _is_date_part(word):
            continue
        if any(_is_unspaced(character) for character in word):
            found.update(character for character in word if _is_unspaced(character))
        elif len(word) > 2 or word.isdigit():
            found.add(word[:_STEM])
    return found


def _is_date_part(word: str) -> bool:
    return word.isdecimal() and len(word) <= 4 and ((len(word) == 4 and word[:2] in ("19", "20")) or int(word) <= 31)


def _is_unspaced(character: str) -> bool:
    return unicodedata.east_asian_width(character) in "WF" or "\u0e00" <= character <= "\u0eff"
