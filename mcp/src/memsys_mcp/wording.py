"""Turns what the API client raises into what the protocol can carry, in the words of ``remedies``."""

from __future__ import annotations

import functools
import logging
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

from fastmcp.exceptions import FastMCPError, PromptError, ResourceError, ToolError, ValidationError

import memsys
from memsys_mcp import remedies
from memsys_mcp.away import is_away
from memsys_mcp.binding import bound

P = ParamSpec("P")
T = TypeVar("T")
logger = logging.getLogger(__name__)

Kind = type[ToolError] | type[ResourceError] | type[PromptError]


def worded(kind: Kind, *, patient: bool = True) -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Awaitable[T]]]:
    """Decorates the body of a tool, resource or prompt: it is waited for while the API is alive, and its errors worded.

    Has to sit inside: outside, the server has masked the error. A body that is not ``patient`` sees to the waiting.
    """

    def decorate(body: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
        @functools.wraps(body)
        async def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
            try:
                work = body(*args, **kwargs)
                return await (bound().patience.wait(work) if patient else work)
            except memsys.MemsysError as error:
                raise spoken(error, kind) from error

        return wrapper

    return decorate


def spoken(error: memsys.MemsysError, kind: Kind) -> FastMCPError:
    """The protocol's error for a failed API call. What the caller did wrong is not worth a line in our log."""
    away = is_away(error)
    if away or isinstance(error, memsys.Unavailable):
        logger.warning("the API did not serve a call: %s", error)
    refused = isinstance(error, memsys.ProblemError) and error.status < 500 and not away
    # A tool's error is a result; that of a resource or prompt is a protocol error, where "your doing" has a code.
    chosen = ValidationError if refused and kind is not ToolError else kind
    return chosen(remedies.explain(error, bound().address), log_level=logging.INFO if refused else logging.WARNING)
