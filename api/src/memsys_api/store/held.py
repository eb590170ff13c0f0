"""Writes that wait for somebody to look at them, behind the wall: apart from memories, so that no read meets them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from psycopg.types.json import Jsonb

from memsys_api.model import Scope
from memsys_api.store import audit
from memsys_api.store.database import Database
from memsys_api.store.rows import scope_values

State = Literal["held", "released", "rejected"]


@dataclass(frozen=True)
class Held:
    """One write, and what was decided on it."""

    id: UUID
    scope: Scope
    memory_id: UUID | None
    """Whose update it is; ``None``: an add."""
    state: State
    findings: list[dict[str, Any]]
    request: dict[str, Any] | None
    """What was to be written; ``None`` once it is decided on."""
    actor: str
    held_at: datetime
    decided_at: datetime | None
    decided_by: str | None
    memory_ids: list[UUID]
    """What came of a release."""


_COLUMNS = (
    "id, project, user_id, agent_id, app_id, run_id, memory_id, state, findings, request, actor, held_at, decided_at, "
    "decided_by, memory_ids"
)


def _read(row: Sequence[Any]) -> Held:
    return Held(row[0], Scope(*row[1:6]), *row[6:15])


async def hold(
    database: Database,
    scope: Scope,
    review: UUID,
    memory_id: UUID | None,
    findings: Sequence[Mapping[str, Any]],
    request: Mapping[str, Any],
    actor: str,
) -> None:
    """Keep a write for review; once, however often it is asked for under the same id."""
    async with database.transaction(scope.project) as conn:
        await conn.execute("INSERT INTO projects (name) VALUES (%s) ON CONFLICT DO NOTHING", (scope.project,))
        cursor = await conn.execute(
            """INSERT INTO held (project, id, user_id, agent_id, app_id, run_id, memory_id, findings, request, actor)
               VALUES (%(project)s, %(id)s, %(user_id)s, %(agent_id)s, %(app_id)s, %(run_id)s, %(memory_id)s,
                       %(findings)s, %(request)s, %(actor)s)
               ON CONFLICT DO NOTHING RETURNING true""",
            {
                **scope_values(scope),
                "id": review,
                "memory_id": memory_id,
                "findings": Jsonb(list(findings)),
                "request": Jsonb(dict(request)),
                "actor": actor,
            },
        )
        if await cursor.fetchone() is not None:
            kinds = sorted({str(finding["kind"]) for finding in findings})
            await audit.record(conn, scope.project, "quarantine.held", review, kinds=kinds)


async def get(database: Database, project: str, review: UUID) -> Held | None:
    async with database.transaction(project) as conn:
        cursor = await conn.execute(
            f"SELECT {_COLUMNS} FROM held WHERE project = %s AND id = %s",  # noqa: S608
            (project, review),
        )
        row = await cursor.fetchone()
    return None if row is None else _read(row)


async def page(
    database: Database, project: str, state: State, *, limit: int, before: int | None
) -> tuple[list[Held], int | None]:
    """A project's writes in this state, newest first, and the position to go on from."""
    async with database.transaction(project) as conn:
        cursor = await conn.execute(
            f"""SELECT {_COLUMNS}, seq FROM held
                WHERE project = %(project)s AND state = %(state)s AND (%(before)s::bigint IS NULL OR seq < %(before)s)
                ORDER BY seq DESC LIMIT %(limit)s""",  # noqa: S608
            {"project": project, "state": state, "before": before, "limit": limit + 1},
        )
        rows = await cursor.fetchall()
    return [_read(row) for row in rows[:limit]], rows[limit - 1][-1] if len(rows) > limit else None


async def decide(
    database: Database, project: str, review: UUID, state: State, actor: str, memory_ids: Sequence[UUID] = ()
) -> Held | None:
    """Decide on a held write, and drop its words; ``None``: it was decided on before, or is not there."""
    async with database.transaction(project) as conn:
        cursor = await conn.execute(
            f"""UPDATE held SET state = %s, request = NULL, decided_at = now(), decided_by = %s, memory_ids = %s
                WHERE project = %s AND id = %s AND state = 'held' RETURNING {_COLUMNS}""",  # noqa: S608
            (state, actor, list(memory_ids), project, review),
        )
        row = await cursor.fetchone()
        if row is not None:
            await audit.record(conn, project, f"quarantine.{state}", review)
    return None if row is None else _read(row)
