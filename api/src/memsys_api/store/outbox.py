"""The transactional outbox, as those who write see it: who is to be told of a change, and what wakes those who tell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from memsys_api.store import deliveries
from memsys_api.store.database import Connection


@dataclass(frozen=True, slots=True)
class Outbox:
    """What a write leaves its changes in."""

    sinks: tuple[str, ...]
    """The sinks that every change is queued for, by name."""
    wake: Callable[[], None]
    """Called after the commit: all those who carry changes away look at once, instead of when they next would."""

    async def enqueue(self, conn: Connection, project: str, changed: Sequence[tuple[UUID, int]]) -> None:
        """Make versions of memories due at every sink, in the transaction that writes them."""
        await deliveries.enqueue(conn, project, self.sinks, changed)
