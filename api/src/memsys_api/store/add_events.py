"""Adds that are answered before they are carried out: whose they are, and what has become of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from psycopg import sql
from psycopg.types.json import Jsonb

from memsys_api.model import AddState, Outcome, Scope
from memsys_api.store.database import Connection
from memsys_api.store.outcomes import resolved, written
from memsys_api.store.rows import scope_condition, scope_values


@dataclass(frozen=True)
class AddEvent:
    """One add. Until it has succeeded, and for good when the model cannot read it, its messages are kept as they were
    said; of what is held or refused nothing is."""

    id: UUID
    state: AddState
    outcomes: tuple[Outcome, ...]
    error: str | None
    created_at: datetime
    finished_at: datetime | None
    review_id: UUID | None = None
    """Where it was held for review."""


async def insert(
    conn: Connection,
    scope: Scope,
    event_id: UUID,
    outcomes: Sequence[Outcome],
    *,
    finished: bool,
    review: UUID | None = None,
) -> None:
    """Note an add in the transaction that stores what was said."""
    await conn.execute(
        """INSERT INTO add_events (project, id, user_id, agent_id, app_id, run_id, outcomes, finished_at, review_id)
           VALUES (%(project)s, %(id)s, %(user_id)s, %(agent_id)s, %(app_id)s, %(run_id)s, %(outcomes)s,
                   CASE WHEN %(finished)s THEN now() END, %(review)s)""",
        {
            **scope_values(scope),
            "id": event_id,
            "outcomes": Jsonb(written(outcomes)),
            "finished": finished,
            "review": review,
        },
    )


async def finish(conn: Connection, project: str, event_id: UUID, outcomes: Sequence[Outcome]) -> None:
    """Note what came of an add, in the transaction that carries it out; of one that nobody follows, nothing."""
    await conn.execute(
        "UPDATE add_events SET outcomes = %s, finished_at = now() WHERE project = %s AND id = %s",
        (Jsonb(written(outcomes)), project, event_id),
    )


async def keep_back(conn: Connection, project: str, event_id: UUID, review: UUID | None, error: str | None) -> None:
    """Note that an add is held for review, or that it was refused and why; of one that nobody follows, nothing."""
    await conn.execute(
        """UPDATE add_events SET outcomes = '[]', review_id = %(review)s, error = %(error)s,
                  finished_at = CASE WHEN %(review)s::uuid IS NULL THEN now() END
           WHERE project = %(project)s AND id = %(id)s""",
        {"project": project, "id": event_id, "review": review, "error": error},
    )


async def read(conn: Connection, scope: Scope, ids: Sequence[UUID]) -> list[AddEvent]:
    """Those of these adds that are of the scope, in the given order."""
    where = scope_condition(scope, "e")
    cursor = await conn.execute(
        sql.SQL(
            """SELECT e.id, e.outcomes, e.created_at, e.finished_at, e.review_id, e.error, h.state, i.state,
                      i.leased_until > now(), i.error
               FROM unnest(%(ids)s::uuid[]) WITH ORDINALITY AS wanted(id, place)
               JOIN add_events e ON e.id = wanted.id
               LEFT JOIN inferences i ON i.project = e.project AND i.id = e.id
               LEFT JOIN held h ON h.project = e.project AND h.id = e.review_id
               WHERE {} ORDER BY wanted.place"""
        ).format(where.clause),
        {**where.parameters, "ids": list(ids)},
    )
    events = []
    for (
        event_id,
        kept,
        created_at,
        finished_at,
        review,
        refusal,
        reviewed,
        queued,
        running,
        waits,
    ) in await cursor.fetchall():
        state: AddState = "SUCCEEDED"
        error = refusal
        if queued is not None:
            state, error = "FAILED" if queued == "parked" else "RUNNING" if running else "PENDING", waits
        elif review is not None and reviewed != "released":
            state, error = ("HELD", None) if reviewed == "held" else ("FAILED", _DECIDED[reviewed])
        elif refusal is not None:
            state = "FAILED"
        outcomes = await resolved(conn, scope.project, kept)
        if state == "FAILED":
            outcomes = tuple(replace(outcome, inference="failed") for outcome in outcomes)
        events.append(AddEvent(event_id, state, outcomes, error, created_at, finished_at, review))
    return events


_DECIDED = {"rejected": "it was held for review, and rejected", None: "it was held for review, and erased"}


async def forget(conn: Connection, project: str, age: timedelta) -> int:
    """Delete what is older than this and no longer waits; says how many."""
    cursor = await conn.execute(
        """DELETE FROM add_events e WHERE e.project = %s AND e.created_at < now() - %s
             AND NOT EXISTS (SELECT FROM inferences i WHERE i.project = e.project AND i.id = e.id) RETURNING true""",
        (project, age),
    )
    return len(await cursor.fetchall())
