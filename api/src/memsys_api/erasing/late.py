"""Refuses adds that another server had accepted, and hands on, after what they say was erased."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import uuid4

from memsys_api.model import Scope
from memsys_api.problems import ERASED, ProblemError
from memsys_api.store import archive, erasures
from memsys_api.store.database import Connection
from memsys_api.store.erasures import Recorded

_CLOCKS = timedelta(seconds=60)
"""By how much the clock of whoever accepted it may be ahead. What is refused for it was accepted while this server was
away, and then nobody could ask for an erasure."""


async def refuse(conn: Connection, scope: Scope, accepted_at: datetime | None) -> None:
    """Raises an ``erased`` problem where an erasure means an add of this scope that was accepted then.

    For the transaction that stores it: none that is asked for meanwhile gets past it.
    """
    if accepted_at is None:
        return
    await archive.alone(conn, scope.project)
    (by,) = await erasures.covering(conn, scope.project, [Recorded(uuid4(), scope, accepted_at - _CLOCKS)])
    if by is not None:
        raise ProblemError(ERASED, f"what was accepted then was erased since, by {by}; it is not stored, so drop it")
