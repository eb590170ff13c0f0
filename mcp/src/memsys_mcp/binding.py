"""What a tool, resource or prompt has of its request: the API as its caller may use it. Set by ``isolation``."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from uuid import uuid4

import memsys
from memsys_mcp.caller import Caller
from memsys_mcp.patience import Patience


@dataclass(frozen=True, slots=True)
class Bound:
    """One request's way to the API."""

    api: memsys.AsyncClient
    """Bound to the caller's credentials, project and request id."""
    patience: Patience
    caller: Caller
    project: str | None
    """``None``: the default project of the caller's key."""
    address: str = ""
    """Where the API should be, as people may see it."""
    idempotency_key: str = field(default_factory=lambda: uuid4().hex)
    """For the one write that the request may make, however often and by whatever way it is sent."""


_bound: ContextVar[Bound] = ContextVar("bound")


def bind(binding: Bound) -> None:
    """Set what :func:`bound` answers within this request."""
    _bound.set(binding)


def bound() -> Bound:
    """The current request's binding."""
    return _bound.get()


def client() -> memsys.AsyncClient:
    """The API as the current caller may use it."""
    return _bound.get().api
