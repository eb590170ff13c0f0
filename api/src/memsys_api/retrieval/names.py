"""Names in texts that are stored and asked: a memory without who says it, a question without whom it is about. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection

from memsys_api.extraction import normalise, spoken

_WORD = re.compile(r"[^\W\d_]+(?:[’'-][^\W\d_]+)*")


def without_names(text: str, keys: Collection[str]) -> str:
    """Return ``text`` without the words of the normalised ``keys``; all of it when nothing would be left."""
    if not keys:
        return text
    wanted = {part for key in keys for part in key.split()}
    rest = _WORD.sub(lambda word: "" if normalise(word[0]) in wanted else word[0], text)
    rest = re.sub(r"\s+", " ", rest).strip()
    return rest if _WORD.search(rest) else text


def embedding_text(text: str, *, speaker: str | None = None) -> str:
    """Return what to embed for a memory: what was said, without a leading "Name: " that only says who said it.

    Neither neighbours nor the date are put in: both can change after the write (turns arrive out of order,
    times are corrected), and ranking takes them into account at query time.
    """
    if speaker is None:
        return spoken(text)[1] or text
    head, colon, said = text.partition(":")
    return said.strip() if colon and said.strip() and normalise(head) == normalise(speaker) else text
