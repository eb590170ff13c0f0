"""When two texts are the same statement written twice. Pure."""

from __future__ import annotations

import hashlib
import unicodedata

_EDGES = ".,;:!?…\"'`´‘’“”„«»()[]{}<>*_~|¡¿。，！？、；：「」『』（）"


def fingerprint(text: str) -> str:
    """Return 32 hex digits, equal for texts that differ only in case, width, spacing and punctuation around words.

    Signs inside or beside a word that carry meaning ("C++", "C#", "-5", "3.5", "$20") are kept.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    words = (word.strip(_EDGES) for word in folded.split())
    return hashlib.sha256(" ".join(word for word in words if word).encode("utf-8", "replace")).hexdigest()[:32]
