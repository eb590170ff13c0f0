"""Reads out of sentences that two names are one's, where that is stated plainly. Pure and linear.

It is read as a relation like any other: with the memory that states it, in its scope, and gone with it. Nothing is
merged for it; see docs/decisions/0056.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from memsys_api.model import Entity

ALSO_KNOWN_AS = "also_known_as"

CUE = re.compile(
    r"\b(?:also (?:known as|called)|[Aa][Kk][Aa]|[Cc]all me|goes by the name|go by the name)\b|\([A-Z]{2,6}\)"
)


def patterns(name: str) -> Iterator[tuple[str, re.Pattern[str]]]:
    """Yield patterns with the groups ``subject`` and ``object``, given the one for a capitalised name."""
    subject = rf"(?<![\w’'])(?P<subject>{name})"
    for said in (
        rf"{subject},? \(?(?:(?:is )?also (?:known as|called)|[Aa][Kk][Aa]) (?P<object>{name})",
        rf"{subject} goes by the name (?:of )?(?P<object>{name})",
        rf"(?<![\w’'])(?P<subject>I) (?:also )?go by the name (?:of )?(?P<object>{name})",
        rf"(?<![\w’'])[Cc]all (?P<subject>me) (?P<object>{name})",
        rf"{subject} \((?P<object>(?P<initials>[A-Z]{{2,6}}))\)",
    ):
        yield ALSO_KNOWN_AS, re.compile(said)


def is_plain(match: re.Match[str], subject: Entity) -> bool:
    """Whether a name in parentheses, if it is one, abbreviates the name before: "Lisbon (PT)" is no alias."""
    if "initials" not in match.groupdict():
        return True
    return match["initials"] == "".join(word[0] for word in subject.name.split() if word[0].isupper())
