"""Who the code at hand acts for, so that every change can say whose it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

SYSTEM = "system"
"""The server itself: what it does by itself, in nobody's request."""

actor: ContextVar[str] = ContextVar("actor", default=SYSTEM)
"""A key's public id, followed by ``for <subject>`` where it is used on somebody's behalf; ``admin`` for the key of the
settings; or :data:`SYSTEM`."""


@contextmanager
def on_behalf_of(key_id: str) -> Iterator[None]:
    """Let what happens within be that key's doing: for work that a request has left to be done later."""
    token = actor.set(key_id)
    try:
        yield
    finally:
        actor.reset(token)
