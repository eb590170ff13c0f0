"""The flow of feedback: what people say of a memory, beside it and never in its place."""

from __future__ import annotations

from uuid import UUID

from memsys_api.model import Scope, Verdict
from memsys_api.problems import no_such_memory
from memsys_api.quarantine.gate import Gate
from memsys_api.store import feedback, versions
from memsys_api.store.database import Connection, Database
from memsys_api.store.feedback import Feedback


class Judging:
    """Keeps judgements of memories."""

    def __init__(self, database: Database, gate: Gate) -> None:
        self._database = database
        self._gate = gate

    async def judge(
        self, scope: Scope, memory_id: UUID, verdict: Verdict | None, reason: str | None, *, actor: str
    ) -> Feedback | None:
        """Keep what is said of a memory's newest version; ``None`` takes back what was said of it.

        Raises a ``not-found`` problem, and what the quarantine's gate raises for a suspect reason.
        """
        if reason is not None:
            await self._gate.refuse(scope.project, [("feedback_reason", reason)])
        async with self._database.transaction(scope.project) as conn:
            await versions.lock(conn, scope, [memory_id])  # so that no erasure passes it by
            version = await _version(conn, scope, memory_id)
            if verdict is None:
                await feedback.withdraw(conn, scope.project, memory_id)
                return None
            await feedback.give(
                conn, scope.project, memory_id, version=version, verdict=verdict, reason=reason, actor=actor
            )
            return await feedback.read(conn, scope.project, memory_id)

    async def read(self, scope: Scope, memory_id: UUID) -> Feedback | None:
        """What was said last of a memory, if anything. Raises a ``not-found`` problem."""
        async with self._database.transaction(scope.project) as conn:
            await _version(conn, scope, memory_id)
            return await feedback.read(conn, scope.project, memory_id)


async def _version(conn: Connection, scope: Scope, memory_id: UUID) -> int:
    head = await versions.head(conn, scope, memory_id)
    if head is None:
        raise no_such_memory()
    return head.memory.version
