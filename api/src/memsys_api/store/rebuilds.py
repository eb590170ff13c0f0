"""Which projects' graphs are being built anew, and how far that is: one row a project and sink, leased step by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from memsys_api.model import RebuildState
from memsys_api.store.database import Connection, Database


@dataclass(frozen=True)
class Rebuild:
    """A rebuild that is under way or, as the last of its project, done."""

    project: str
    state: RebuildState
    queued: int
    """Memories that are applied anew."""
    removed: int
    """What the graph held and PostgreSQL does not."""
    error: str | None
    requested_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True)
class Step:
    """The next step of a rebuild, held by this process until its lease ends."""

    project: str
    state: RebuildState
    after: UUID | None


async def request(database: Database, sink: str, projects: Sequence[str]) -> None:
    """Begin to rebuild these projects; those that are being rebuilt go on as they are."""
    async with database.system() as conn:
        await conn.execute(
            """INSERT INTO rebuilds (project, sink, state)
               SELECT project, %s, 'applying' FROM unnest(%s::text[]) AS project
               ON CONFLICT (project, sink) DO UPDATE
               SET state = 'applying', after = NULL, queued = 0, removed = 0, error = NULL, requested_at = now(),
                   swept_at = NULL, finished_at = NULL
               WHERE rebuilds.state = 'done'""",
            (sink, list(projects)),
        )


async def listed(database: Database, sink: str, project: str | None) -> list[Rebuild]:
    """The rebuilds of a project or of all, those that were asked for last first."""
    async with database.system() as conn:
        cursor = await conn.execute(
            """SELECT project, state, queued, removed, error, requested_at, finished_at FROM rebuilds
               WHERE sink = %(sink)s AND (%(project)s::text IS NULL OR project = %(project)s)
               ORDER BY requested_at DESC, project""",
            {"sink": sink, "project": project},
        )
    return [Rebuild(*row) for row in await cursor.fetchall()]


async def claim(database: Database, sink: str, lease: UUID, duration: timedelta) -> Step | None:
    """Take the next step of the rebuild that has waited longest; ``None`` when none is to be done now."""
    async with database.system() as conn:
        cursor = await conn.execute(
            """UPDATE rebuilds r SET lease = %(lease)s, leased_until = now() + %(duration)s
               FROM (SELECT project FROM rebuilds
                     WHERE sink = %(sink)s AND state <> 'done' AND (leased_until IS NULL OR leased_until < now())
                     ORDER BY state = 'draining', requested_at LIMIT 1 FOR UPDATE SKIP LOCKED) next
               WHERE r.sink = %(sink)s AND r.project = next.project
               RETURNING r.project, r.state, r.after""",
            {"sink": sink, "lease": lease, "duration": duration},
        )
        row = await cursor.fetchone()
    return None if row is None else Step(*row)


async def advance(
    conn: Connection,
    sink: str,
    lease: UUID,
    step: Step,
    *,
    state: RebuildState,
    after: UUID | None = None,
    queued: int = 0,
    removed: int = 0,
) -> None:
    """Record a step in the caller's transaction; nothing, when its lease has gone to another process."""
    await conn.execute(
        """UPDATE rebuilds SET state = %(state)s, after = %(after)s, queued = queued + %(queued)s,
                  removed = removed + %(removed)s, error = NULL, lease = NULL, leased_until = NULL,
                  swept_at = CASE WHEN state = 'sweeping' THEN clock_timestamp() ELSE swept_at END,
                  finished_at = CASE WHEN %(state)s = 'done' THEN clock_timestamp() END
           WHERE sink = %(sink)s AND project = %(project)s AND lease = %(lease)s""",
        {
            "sink": sink,
            "project": step.project,
            "lease": lease,
            "state": state,
            "after": after,
            "queued": queued,
            "removed": removed,
        },
    )


async def put_off(database: Database, sink: str, lease: UUID, step: Step, error: str | None, wait: timedelta) -> None:
    """Leave a step to be done again after a wait, and say why."""
    async with database.system() as conn:
        await conn.execute(
            """UPDATE rebuilds SET error = %s, leased_until = now() + %s
               WHERE sink = %s AND project = %s AND lease = %s""",
            (error, wait, sink, step.project, lease),
        )


async def drained(database: Database, sink: str, project: str) -> bool:
    """Whether nothing that was queued by a rebuild is still on its way; what is parked has its own remedy."""
    async with database.system() as conn:
        cursor = await conn.execute(
            """SELECT NOT EXISTS (
                   SELECT FROM deliveries d JOIN rebuilds r ON r.project = d.project AND r.sink = d.sink
                   WHERE d.sink = %s AND d.project = %s AND d.state = 'pending' AND d.created_at <= r.swept_at)""",
            (sink, project),
        )
        row = await cursor.fetchone()
    assert row is not None
    return bool(row[0])
