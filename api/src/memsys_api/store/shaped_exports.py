"""Exports in a caller's shape: what was asked for, the queue of what waits for the language model, what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from psycopg import sql
from psycopg.types.json import Jsonb

from memsys_api.model import Scope
from memsys_api.store.database import Connection, Database
from memsys_api.store.rows import scope_condition, scope_values


@dataclass(frozen=True)
class ShapedExport:
    """An export as its caller sees it."""

    id: UUID
    state: Literal["waiting", "done", "failed"]
    result: dict[str, Any] | None
    error: str | None
    created_at: datetime


@dataclass(frozen=True)
class Claim:
    """One export that this process shapes until its lease ends."""

    project: str
    id: UUID
    attempts: int
    """How many attempts were begun, this one included."""
    lease: UUID


@dataclass(frozen=True)
class Asked:
    """What an export is to be made of."""

    scope: Scope
    request: dict[str, Any]
    actor: str


async def insert(
    conn: Connection, scope: Scope, export_id: UUID, asked: str, request: dict[str, Any], actor: str
) -> None:
    """Note an export, and that it waits. ``asked`` is the digest by which the newest of its kind is found."""
    await conn.execute(
        """INSERT INTO shaped_exports (project, id, user_id, agent_id, app_id, run_id, asked, request, actor)
           VALUES (%(project)s, %(id)s, %(user_id)s, %(agent_id)s, %(app_id)s, %(run_id)s, %(asked)s, %(request)s,
                   %(actor)s)""",
        {**scope_values(scope), "id": export_id, "asked": asked, "request": Jsonb(request), "actor": actor},
    )
    await conn.execute("INSERT INTO shaping_jobs (project, id) VALUES (%s, %s)", (scope.project, export_id))


async def waiting(conn: Connection, project: str, actor: str) -> int:
    """How many exports of a key wait."""
    cursor = await conn.execute(
        """SELECT count(*) FROM shaped_exports e JOIN shaping_jobs j ON j.project = e.project AND j.id = e.id
           WHERE e.project = %s AND e.actor = %s""",
        (project, actor),
    )
    row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


async def find(conn: Connection, scope: Scope, *, export_id: UUID | None, asked: str | None) -> ShapedExport | None:
    """The export of the scope with this id or (``None``) the newest of what was asked for; ``None``: no such."""
    where = scope_condition(scope, "e")
    cursor = await conn.execute(
        sql.SQL(
            """SELECT e.id,
                      CASE WHEN j.id IS NOT NULL THEN 'waiting' WHEN e.result IS NULL THEN 'failed' ELSE 'done' END,
                      e.result, coalesce(e.error, j.error), e.created_at
               FROM shaped_exports e LEFT JOIN shaping_jobs j ON j.project = e.project AND j.id = e.id
               WHERE {} AND (%(id)s::uuid IS NULL OR e.id = %(id)s) AND (%(asked)s::text IS NULL OR e.asked = %(asked)s)
               ORDER BY e.created_at DESC LIMIT 1"""
        ).format(where.clause),
        {**where.parameters, "id": export_id, "asked": asked},
    )
    row = await cursor.fetchone()
    return None if row is None else ShapedExport(*row)


async def claim(database: Database, lease: UUID, duration: timedelta) -> Claim | None:
    """Take the export that is due for longest, if any; it counts as an attempt from now on."""
    async with database.system() as conn:
        cursor = await conn.execute(
            """UPDATE shaping_jobs j
               SET lease = %(lease)s, leased_until = now() + %(duration)s, attempts = j.attempts + 1
               FROM (SELECT project, id FROM shaping_jobs
                     WHERE due_at <= now() AND (leased_until IS NULL OR leased_until < now())
                     ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED) due
               WHERE j.project = due.project AND j.id = due.id
               RETURNING j.project, j.id, j.attempts, j.lease""",
            {"lease": lease, "duration": duration},
        )
        row = await cursor.fetchone()
    return None if row is None else Claim(*row)


async def read(conn: Connection, claim: Claim) -> Asked | None:
    """What a claimed export is to be made of; ``None``: it is gone, erased for one."""
    cursor = await conn.execute(
        """SELECT project, user_id, agent_id, app_id, run_id, request, actor FROM shaped_exports
           WHERE project = %s AND id = %s""",
        (claim.project, claim.id),
    )
    row = await cursor.fetchone()
    return None if row is None else Asked(Scope(*row[:5]), row[5], row[6])


async def finish(
    conn: Connection,
    claim: Claim,
    *,
    memory_ids: Sequence[UUID] = (),
    result: dict[str, Any] | None = None,
    error: str | None = None,
) -> bool:
    """Write what came of a claimed export; ``False``: the lease was lost, and whoever has it now decides."""
    cursor = await conn.execute(
        "DELETE FROM shaping_jobs WHERE project = %s AND id = %s AND lease = %s RETURNING true",
        (claim.project, claim.id, claim.lease),
    )
    if await cursor.fetchone() is None:
        return False
    await conn.execute(
        """UPDATE shaped_exports SET memory_ids = %s, result = %s, error = %s, finished_at = now()
           WHERE project = %s AND id = %s""",
        (list(memory_ids), None if result is None else Jsonb(result), error, claim.project, claim.id),
    )
    return True


async def put_off(conn: Connection, claim: Claim, wait: timedelta, error: str | None, *, counts: bool) -> None:
    """Give a claim back, due again after ``wait``. ``counts``: it has used up an attempt."""
    await conn.execute(
        """UPDATE shaping_jobs SET lease = NULL, leased_until = NULL, due_at = now() + %s, error = coalesce(%s, error),
                  attempts = attempts - CASE WHEN %s THEN 0 ELSE 1 END
           WHERE project = %s AND id = %s AND lease = %s""",
        (wait, error, counts, claim.project, claim.id, claim.lease),
    )


async def forget(conn: Connection, project: str, age: timedelta) -> int:
    """Delete what is older than this, whether or not it still waits; says how many."""
    cursor = await conn.execute(
        """WITH gone AS (DELETE FROM shaped_exports WHERE project = %(project)s AND created_at < now() - %(age)s
                         RETURNING id),
                jobs AS (DELETE FROM shaping_jobs j USING gone WHERE j.project = %(project)s AND j.id = gone.id)
           SELECT count(*) FROM gone""",
        {"project": project, "age": age},
    )
    row = await cursor.fetchone()
    assert row is not None
    return int(row[0])
