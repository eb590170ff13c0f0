"""Texts of callers as parts of URLs. No I/O."""

from __future__ import annotations

import uuid
from urllib.parse import quote


def id_segment(field: str, value: uuid.UUID | str) -> str:
    """An id as exactly one segment of a path. :class:`ValueError` names ``field``.

    Servers route by the decoded path, where ``%2F`` divides again.
    """
    if "/" in str(value):
        raise ValueError(f"{field} {value!r} is no id; give one that the service has given")
    return text_segment(field, str(value))


def text_segment(field: str, text: str) -> str:
    """Any text, for a route that takes what stands in its place whole. :class:`ValueError` names ``field``.

    HTTP clients fold ``.`` and ``..`` before they send, so these would reach another route.
    """
    if text in ("", ".", ".."):
        raise ValueError(f"{field} {text!r} cannot be asked for by its name; give another")
    return quote(text, safe="")
