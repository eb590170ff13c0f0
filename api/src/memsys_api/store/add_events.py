"""Adds that are answered before they are carried out: whose they are, and what has become of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from psycopg import sql
from psycopg.types.json import Jsonb

from memsys_api.model import Outcome, Scope
from memsys_api.store.database import Connection
from memsys_api.store.outcomes import resolved, written
from memsys_api.store.rows import scope_condition, scope_values

State = Literal["PENDING", "RUNNING", "SUCCEEDED", "FAILED"]


@dataclass(frozen=True)
class AddEvent:
    """One add. Until it has succeeded, and for good when it fails, its messages are kept as they were said."""

    id: UUID
    state: State
    outcomes: tuple[Outcome, ...]
    error: str | None
    created_at: datetime
    finished_at: datetime | None


async def insert(
    conn: Connection, scope: Scope, event_id: UUID, outcomes: Sequence[Outcome], *, finished: bool
) -> None:
    """Note an add in the transaction that stores what was said."""
    await conn.execute(
        """INSERT INTO add_events (project, id, user_id, agent_id, app_id, run_id, outcomes, finished_at)
           VALUES (%(project)s, %(id)s, %(user_id)s, %(agent_id)s, %(app_id)s, %(run_id)s, %(outcomes)s,
                   CASE WHEN %(finished)s THEN now() END)""",
        {**scope_values(scope), "id": event_id, "outcomes": Jsonb(written(outcomes)), "finished": finished},
    )


async def finish(conn: Connection, project: str, event_id: UUID, outcomes: Sequence[Outcome]) -> None:
    """Note what came of an add, in the transaction that carries it out; of one that nobody follows, nothing."""
    await conn.execute(
        "UPDATE add_events SET outcomes = %s, finished_at = now() WHERE project = %s AND id = %s",
        (Jsonb(written(outcomes)), project, event_id),
    )


async def read(conn: Connection, scope: Scope, ids: Sequence[UUID]) -> list[AddEvent]:
    """Those of these adds that are of the scope, in the given order."""
    where = scope_condition(scope, "e")
    cursor = await conn.execute(
        sql.SQL(
            """SELECT e.id, e.outcomes, e.created_at, e.finished_at, i.state, i.leased_until > now(), i.error
               FROM unnest(%(ids)s::uuid[]) WITH ORDINALITY AS wanted(id, place)
               JOIN add_events e ON e.id = wanted.id
               LEFT JOIN inferences i ON i.project = e.project AND i.id = e.id
               WHERE {} ORDER BY wanted.place"""
        ).format(where.clause),
        {**where.parameters, "ids": list(ids)},
    )
    events = []
    for event_id, kept, created_at, finished_at, queued, held, error in await cursor.fetchall():
        state: State = "SUCCEEDED"
        if queued is not None:
            state = "FAILED" if queued == "parked" else "RUNNING" if held else "PENDING"
        outcomes = await resolved(conn, scope.project, kept)
        if state == "FAILED":
            outcomes = tuple(replace(outcome, inference="failed") for outcome in outcomes)
        shown = error if queued is not None else None
        events.append(AddEvent(event_id, state, outcomes, shown, created_at, finished_at))
    return events


async def forget(conn: Connection, project: str, age: timedelta) -> int:
    """Delete what is older than this and no longer waits; says how many."""
    cursor = await conn.execute(
        """DELETE FROM add_events e WHERE e.project = %s AND e.created_at < now() - %s
             AND NOT EXISTS (SELECT FROM inferences i WHERE i.project = e.project AND i.id = e.id) RETURNING true""",
        (project, age),
    )
    return len(await cursor.fetchall())
