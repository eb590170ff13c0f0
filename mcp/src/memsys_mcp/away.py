"""Tells an API that is away from one that is there and failed at one request. Pure."""

from __future__ import annotations

import memsys
from memsys_mcp.answers import PROBLEMS

_NOBODY_IS_SERVED = frozenset({f"{PROBLEMS}/not-ready", f"{PROBLEMS}/unavailable"})
_NO_SUCH_ROUTE = frozenset({301, 302, 303, 307, 308, 404, 405})


def is_away(error: memsys.MemsysError) -> bool:
    """Whether any other call would have fared alike, so that waiting helps.

    Of the API's own answers few say that; ``too-slow`` or ``embedder-rejected`` may come of this one request. What is
    none of them (502, 503, 504) comes from a proxy with no API behind it, or is no way to one (:func:`is_elsewhere`).
    """
    if is_elsewhere(error):
        return True
    if not isinstance(error, memsys.Unavailable):
        return False
    if not isinstance(error, memsys.ProblemError):
        return True
    return error.type in _NOBODY_IS_SERVED or not error.type.startswith(PROBLEMS)


def is_elsewhere(error: memsys.MemsysError) -> bool:
    """Whether somebody other than the API answered, who has no such route: a proxy, or what is at a wrong address."""
    return (
        isinstance(error, memsys.ProblemError)
        and error.status in _NO_SUCH_ROUTE
        and not error.type.startswith(PROBLEMS)
    )
