"""Writes that wait for somebody to look at them, behind the wall: apart from memories, so that no read meets them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from memsys_api.model import HeldKind, HeldState, Outcome, Scope
from memsys_api.store import audit
from memsys_api.store.database import Connection, Database
from memsys_api.store.outcomes import written
from memsys_api.store.rows import scope_values


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A write as it is kept for review."""

    kind: HeldKind
    scope: Scope
    request: Mapping[str, Any]
    """What was to be written, as JSON: the body of the request, or an import's line."""
    actor: str
    memory_id: UUID | None = None
    """Whose version it is to be; ``None``: of memories that are new."""
    facts: Sequence[str] | None = None
    """What a language model made of it, where that is suspect."""
    source_ids: Sequence[UUID] = ()
    """Its messages, where they had been stored as they were said."""


@dataclass(frozen=True)
class Held:
    """One write, and what was decided on it."""

    id: UUID
    scope: Scope
    kind: HeldKind
    memory_id: UUID | None
    state: HeldState
    findings: list[dict[str, Any]]
    request: dict[str, Any] | None
    """What was to be written; ``None`` once it is decided on, as ``facts``."""
    facts: list[str] | None
    source_ids: list[UUID]
    actor: str
    held_at: datetime
    decided_at: datetime | None
    decided_by: str | None
    memory_ids: list[UUID]
    """What came of a release."""


_COLUMNS = (
    "id, project, user_id, agent_id, app_id, run_id, kind, memory_id, state, findings, request, facts, source_ids, "
    "actor, held_at, decided_at, decided_by, memory_ids"
)


def _read(row: Sequence[Any]) -> Held:
    return Held(row[0], Scope(*row[1:6]), *row[6:18])


async def hold(conn: Connection, review: UUID, write: Kept, findings: Sequence[Mapping[str, Any]]) -> tuple[Held, bool]:
    """Keep a write for review, in the caller's transaction; once, however often it is asked for under the same id.

    Says as what it is kept, and whether this was the first time.
    """
    project = write.scope.project
    await conn.execute("INSERT INTO projects (name) VALUES (%s) ON CONFLICT DO NOTHING", (project,))
    cursor = await conn.execute(
        f"""INSERT INTO held (project, id, user_id, agent_id, app_id, run_id, kind, memory_id, findings, request, facts,
                              source_ids, actor)
            VALUES (%(project)s, %(id)s, %(user_id)s, %(agent_id)s, %(app_id)s, %(run_id)s, %(kind)s, %(memory_id)s,
                    %(findings)s, %(request)s, %(facts)s, %(source_ids)s, %(actor)s)
            ON CONFLICT DO NOTHING RETURNING {_COLUMNS}""",  # noqa: S608
        {
            **scope_values(write.scope),
            "id": review,
            "kind": write.kind,
            "memory_id": write.memory_id,
            "findings": Jsonb(list(findings)),
            "request": Jsonb(dict(write.request)),
            "facts": None if write.facts is None else Jsonb(list(write.facts)),
            "source_ids": list(write.source_ids),
            "actor": write.actor,
        },
    )
    if (row := await cursor.fetchone()) is not None:
        kinds = sorted({str(finding["kind"]) for finding in findings})
        await audit.record(conn, project, "quarantine.held", review, kinds=kinds)
        return _read(row), True
    earlier = await read(conn, project, review)
    assert earlier is not None  # it was in the way just now, and held writes stay
    return earlier, False


async def read(conn: Connection, project: str, review: UUID) -> Held | None:
    """One write, in the caller's transaction."""
    cursor = await conn.execute(
        f"SELECT {_COLUMNS} FROM held WHERE project = %s AND id = %s",  # noqa: S608
        (project, review),
    )
    row = await cursor.fetchone()
    return None if row is None else _read(row)


async def get(database: Database, project: str, review: UUID) -> Held | None:
    """One write."""
    async with database.transaction(project) as conn:
        return await read(conn, project, review)


async def waiting(database: Database) -> int:
    """How many writes wait for review, in all projects."""
    async with database.system() as conn:
        cursor = await conn.execute("SELECT held_everywhere()")
        row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


async def page(
    database: Database, project: str, state: HeldState, *, limit: int, before: int | None
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
    conn: Connection, project: str, review: UUID, state: HeldState, by: str, outcomes: Sequence[Outcome] = ()
) -> bool:
    """Decide on a held write in the caller's transaction, and drop its words; ``False``: that was done before.

    Whoever follows the add hears of it, and whoever repeats its request. ``outcomes`` are what came of a release.
    """
    came = Jsonb(written(outcomes)) if state == "released" else None
    cursor = await conn.execute(
        """UPDATE held SET state = %s, request = NULL, facts = NULL, decided_at = now(), decided_by = %s,
                  memory_ids = %s, outcomes = %s
           WHERE project = %s AND id = %s AND state = 'held' RETURNING true""",
        (state, by, [outcome.id for outcome in outcomes], came, project, review),
    )
    if await cursor.fetchone() is None:
        return False
    await conn.execute(
        "UPDATE add_events SET outcomes = %s, finished_at = now() WHERE project = %s AND review_id = %s",
        (Jsonb(written(outcomes)), project, review),
    )
    await audit.record(conn, project, f"quarantine.{state}", review)
    return True


class AlreadyDecided(Exception):
    """Somebody else has decided on a held write meanwhile, or it is erased."""


@dataclass(frozen=True)
class Release:
    """The release of a held write: decided in the transaction that writes it, so that neither is without the other."""

    review: Held
    by: str
    """The public id of the key that decides; the write itself is that of whoever asked for it."""
    actor: str
    """Whom the audit trail names for the decision: that key, and for whom it is used."""

    async def settle(self, conn: Connection, outcomes: Sequence[Outcome]) -> None:
        """Decide, as the last of the transaction that writes ``outcomes``.

        Raises :class:`AlreadyDecided`, which undoes that transaction: of two decisions at once the second waits here.
        """
        await audit.attribute(conn, self.actor)
        if not await decide(conn, self.review.scope.project, self.review.id, "released", self.by, outcomes):
            raise AlreadyDecided
