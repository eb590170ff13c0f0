"""Which passwords are refused: those that a stranger tries first, and those that do not arrive as they are. Pure."""

from __future__ import annotations

import re

#: What images, guides and people use until they know better, without what is not a letter or a digit.
_KNOWN = (
    "postgres", "postgresql", "password", "passwd", "passw0rd", "changeme", "changethis", "changeit", "neo4j", "admin",
    "administrator", "root", "secret", "memsys", "mem0graph", "default", "example", "letmein", "welcome", "qwerty",
    "test", "user", "123456", "12345678", "123456789", "1234567890",
)  # fmt: skip
_GUESSED = re.compile(rf"(?:{'|'.join(_KNOWN)})+[0-9]{{0,4}}")
_FEWEST_CHARACTERS = 5


def weakness(value: str, shortest: int, *, in_header: bool = False) -> str | None:
    """What is wrong with a password, in words that do not tell it; None for one that may be used.

    ``shortest`` is the least number of characters. Known words are found in any case, with punctuation between them,
    one after the other and with up to four digits at the end. A value that is sent ``in_header`` is plain ASCII.
    """
    plain = re.sub(r"[^a-z0-9]", "", value.lower())
    if _GUESSED.fullmatch(plain):
        return "is a well-known default"
    if len(value.strip()) < shortest:
        return f"has fewer than {shortest} characters"
    if len(set(value)) < _FEWEST_CHARACTERS:
        return "is the same few characters again and again"
    if in_header and not re.fullmatch(r"[!-~]+", value):
        return "has characters that no HTTP header carries: only ASCII without spaces does"
    if not value.isprintable() or value != value.strip():
        # Files, URLs, headers and shells each drop or escape another part of these.
        return "has control characters or a space at an end"
    return None
