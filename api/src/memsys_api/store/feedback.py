"""What people say of memories: one judgement of each, the newest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from memsys_api.model import Verdict
from memsys_api.store.database import Connection


@dataclass(frozen=True)
class Feedback:
    """A judgement of one version of a memory."""

    version: int
    verdict: Verdict
    reason: str | None
    actor: str
    given_at: datetime


async def give(
    conn: Connection, project: str, memory_id: UUID, *, version: int, verdict: Verdict, reason: str | None, actor: str
) -> None:
    """Put a judgement in the place of the one before. The caller holds the memory's lock."""
    await conn.execute(
        """INSERT INTO feedback (project, memory_id, version, verdict, reason, actor) VALUES (%s, %s, %s, %s, %s, %s)
           ON CONFLICT (project, memory_id) DO UPDATE
           SET version = excluded.version, verdict = excluded.verdict, reason = excluded.reason,
               actor = excluded.actor, given_at = now()""",
        (project, memory_id, version, verdict, reason, actor),
    )


async def withdraw(conn: Connection, project: str, memory_id: UUID) -> None:
    """Leave a memory without judgement."""
    await conn.execute("DELETE FROM feedback WHERE project = %s AND memory_id = %s", (project, memory_id))


async def read(conn: Connection, project: str, memory_id: UUID) -> Feedback | None:
    """The judgement of a memory, if there is one."""
    cursor = await conn.execute(
        "SELECT version, verdict, reason, actor, given_at FROM feedback WHERE project = %s AND memory_id = %s",
        (project, memory_id),
    )
    row = await cursor.fetchone()
    return None if row is None else Feedback(*row)


async def newest(conn: Connection, project: str, memory_ids: Sequence[UUID]) -> dict[UUID, datetime]:
    """When the judgements of these memories were given; of those that have one."""
    cursor = await conn.execute(
        "SELECT memory_id, given_at FROM feedback WHERE project = %s AND memory_id = ANY(%s)",
        (project, list(memory_ids)),
    )
    return dict(await cursor.fetchall())


async def restore(conn: Connection, project: str, given: Mapping[UUID, Feedback]) -> None:
    """Put judgements that were given elsewhere in the place of these memories' own. The caller holds their locks."""
    words = list(given.values())
    await conn.execute(
        """INSERT INTO feedback (project, memory_id, version, verdict, reason, actor, given_at)
           SELECT %s, * FROM unnest(%s::uuid[], %s::int[], %s::text[], %s::text[], %s::text[], %s::timestamptz[])
           ON CONFLICT (project, memory_id) DO UPDATE
           SET version = excluded.version, verdict = excluded.verdict, reason = excluded.reason,
               actor = excluded.actor, given_at = excluded.given_at""",
        (
            project,
            list(given),
            [one.version for one in words],
            [one.verdict for one in words],
            [one.reason for one in words],
            [one.actor for one in words],
            [one.given_at for one in words],
        ),
    )
