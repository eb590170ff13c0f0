"""What the API says where it refuses, or that it says nothing, in words for a status or a log."""

from __future__ import annotations

import httpx

_LONGEST = 300


def refused(answer: httpx.Response) -> str:
    """Name the path and the status, and what the API says of it."""
    said = detail(answer)
    return f"the API answers {answer.request.url.path} with {answer.status_code}" + (f": {said}" if said else "")


def silent(url: str, error: httpx.HTTPError) -> str:
    """That nothing came back, and what became of the attempt."""
    return f"the API does not answer at {url}: {type(error).__name__}"


def detail(answer: httpx.Response) -> str | None:
    """The ``detail`` of a problem (RFC 9457) in one line, bounded; None when the answer is none."""
    try:
        return " ".join(str(answer.json()["detail"]).split())[:_LONGEST]
    except (ValueError, TypeError, KeyError):
        return None
