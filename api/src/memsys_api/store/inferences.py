"""The queue of what waits for the language model: one row per request that was stored verbatim while it was away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from memsys_api.store import add_events
from memsys_api.store.database import Connection, Database


@dataclass(frozen=True)
class Claim:
    """One request that this process holds until its lease ends."""

    project: str
    id: UUID
    attempts: int
    """How many attempts were begun, this one included."""
    lease: UUID


@dataclass(frozen=True)
class QueueStatus:
    """The queue as a whole, all projects together."""

    pending: int
    parked: int
    lag_seconds: float
    """For how long the oldest that is pending has waited: what is parked is not worked off by itself."""
    last_error: str | None


async def enqueue(
    conn: Connection, project: str, request_id: UUID, scope: int, memory_ids: Sequence[UUID], request: dict[str, Any]
) -> None:
    """Have memories inferred later, in the transaction that stores them. ``request`` says how."""
    await conn.execute(
        "INSERT INTO inference_requests (project, id, memory_ids, request) VALUES (%s, %s, %s, %s)",
        (project, request_id, list(memory_ids), Jsonb(request)),
    )
    await conn.execute("INSERT INTO inferences (project, id, scope) VALUES (%s, %s, %s)", (project, request_id, scope))


async def claim(database: Database, lease: UUID, duration: timedelta) -> Claim | None:
    """Take the request that is due for longest, if any; it counts as an attempt from now on.

    One that has an older one of the same scope before it waits, whoever holds that: statements keep their order.
    """
    async with database.system() as conn:
        cursor = await conn.execute(
            """
            UPDATE inferences i SET lease = %(lease)s, leased_until = now() + %(duration)s, attempts = i.attempts + 1
            FROM (
                SELECT project, id FROM inferences due
                WHERE state = 'pending' AND due_at <= now() AND (leased_until IS NULL OR leased_until < now())
                  AND NOT EXISTS (SELECT FROM inferences older
                                  WHERE older.project = due.project AND older.scope = due.scope
                                    AND older.state = 'pending' AND older.seq < due.seq)
                ORDER BY due_at LIMIT 1
                FOR UPDATE SKIP LOCKED
            ) due
            WHERE i.project = due.project AND i.id = due.id
            RETURNING i.project, i.id, i.attempts, i.lease
            """,
            {"lease": lease, "duration": duration},
        )
        row = await cursor.fetchone()
    return None if row is None else Claim(*row)


async def read(conn: Connection, claim: Claim) -> tuple[list[UUID], dict[str, Any]] | None:
    """A claimed request: its memories in the order of the messages, and how they are to be inferred."""
    cursor = await conn.execute(
        "SELECT memory_ids, request FROM inference_requests WHERE project = %s AND id = %s", (claim.project, claim.id)
    )
    row = await cursor.fetchone()
    return None if row is None else (row[0], row[1])


async def finish(conn: Connection, claim: Claim) -> bool:
    """Take a request out of the queue, in the transaction that carries it out; ``False``: the lease was lost."""
    cursor = await conn.execute(
        "DELETE FROM inferences WHERE project = %s AND id = %s AND lease = %s RETURNING true",
        (claim.project, claim.id, claim.lease),
    )
    if await cursor.fetchone() is None:
        return False
    await conn.execute("DELETE FROM inference_requests WHERE project = %s AND id = %s", (claim.project, claim.id))
    return True


async def put_off(conn: Connection, claim: Claim, wait: timedelta | None, error: str | None, *, counts: bool) -> bool:
    """Give a claim back: due again after ``wait``, or (``None``) parked. ``counts``: it has used up an attempt.

    ``False``: the lease was lost, and whoever has it now decides.
    """
    cursor = await conn.execute(
        """UPDATE inferences
           SET lease = NULL, leased_until = NULL, error = coalesce(%(error)s, error),
               attempts = attempts - CASE WHEN %(counts)s THEN 0 ELSE 1 END,
               state = CASE WHEN %(wait)s::interval IS NULL THEN 'parked' ELSE 'pending' END,
               due_at = now() + coalesce(%(wait)s::interval, '0')
           WHERE project = %(project)s AND id = %(id)s AND lease = %(lease)s RETURNING true""",
        {
            "error": error,
            "counts": counts,
            "wait": wait,
            "project": claim.project,
            "id": claim.id,
            "lease": claim.lease,
        },
    )
    return await cursor.fetchone() is not None


async def hasten(database: Database, project: str) -> None:
    """Have what waits for the language model in a project be tried again at once."""
    async with database.system() as conn:
        await conn.execute(
            "UPDATE inferences SET due_at = now() WHERE project = %s AND state = 'pending' AND due_at > now()",
            (project,),
        )


async def requeue(conn: Connection, project: str) -> int:
    """Make a project's requests due now, with all their attempts, the parked ones too; says how many.

    The messages of parked ones wait again, but for those that were edited or deleted since.
    """
    cursor = await conn.execute(
        """WITH due AS (
               UPDATE inferences SET state = 'pending', attempts = 0, due_at = now(), error = NULL
               WHERE project = %(project)s AND (state = 'parked' OR due_at > now())
                 AND (leased_until IS NULL OR leased_until < now())
               RETURNING id
           ), again AS (
               UPDATE memory_versions m
               SET provenance = m.provenance - 'inference_error' || '{"inference": "pending"}'
               FROM due JOIN inference_requests r ON r.project = %(project)s AND r.id = due.id
               WHERE m.project = %(project)s AND m.id = ANY (r.memory_ids) AND m.recorded_to IS NULL
                 AND m.state = 'active' AND m.provenance ->> 'inference' = 'failed'
           )
           SELECT count(*) FROM due""",
        {"project": project},
    )
    row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


async def settle(conn: Connection, project: str, changed: Sequence[UUID]) -> None:
    """End the parked requests that would find nothing to ask about, in the transaction that changes their messages.

    ``changed`` are memories that were edited or deleted. The queue is looked at only where one of them ever waited.
    """
    # One that is locked is being asked about again, and ends there: waiting for it could be waiting for each other.
    cursor = await conn.execute(
        """WITH settled AS (
               SELECT i.id FROM inferences i JOIN inference_requests r USING (project, id)
               WHERE i.project = %(project)s AND i.state = 'parked' AND r.memory_ids && %(changed)s::uuid[]
                 AND EXISTS (SELECT FROM memory_versions m
                             WHERE m.project = %(project)s AND m.id = ANY (%(changed)s)
                               AND m.provenance ->> 'inference' IN ('pending', 'failed'))
                 AND NOT EXISTS (SELECT FROM memory_versions m
                                 WHERE m.project = %(project)s AND m.id = ANY (r.memory_ids) AND m.recorded_to IS NULL
                                   AND m.state = 'active' AND m.provenance ->> 'inference' = 'failed')
               FOR UPDATE OF i, r SKIP LOCKED
           ), unqueued AS (
               DELETE FROM inferences i USING settled WHERE i.project = %(project)s AND i.id = settled.id
           )
           DELETE FROM inference_requests r USING settled WHERE r.project = %(project)s AND r.id = settled.id
           RETURNING r.id""",
        {"project": project, "changed": list(changed)},
    )
    for (request_id,) in await cursor.fetchall():
        await add_events.finish(conn, project, request_id, [])


async def status(database: Database, project: str | None = None) -> QueueStatus:
    """How much waits and for how long, and how much is parked; ``None``: of all projects."""
    async with database.system() as conn:
        cursor = await conn.execute(
            """SELECT count(*) FILTER (WHERE state = 'pending'), count(*) FILTER (WHERE state = 'parked'),
                      coalesce(extract(epoch FROM now() - min(created_at) FILTER (WHERE state = 'pending')), 0)::float,
                      (array_agg(error ORDER BY due_at DESC) FILTER (WHERE error IS NOT NULL))[1]
               FROM inferences WHERE %(project)s::text IS NULL OR project = %(project)s""",
            {"project": project},
        )
        row = await cursor.fetchone()
    assert row is not None
    return QueueStatus(*row)
