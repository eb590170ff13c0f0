"""Texts of others as parts of URLs. Pure."""

from __future__ import annotations

from urllib.parse import quote

from memsys_operator.errors import Rejected


def segment(text: str) -> str:
    """``text`` as exactly one segment of a path. Raises :class:`Rejected` for what cannot be one.

    HTTP clients fold ``.`` and ``..`` before they send, and the apiserver routes by the decoded path, where ``%2F``
    divides again: quoting alone would let a name lead to another resource, in whatever namespace.
    """
    if text in ("", ".", "..") or "/" in text:
        raise Rejected(f"{text!r} cannot be the name of an object; correct the name in the spec")
    return quote(text, safe="")
