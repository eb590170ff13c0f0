"""Reads memories and their history, behind the wall."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import sql

from memsys_api.model import Memory, Scope
from memsys_api.store.database import Database
from memsys_api.store.past import reading
from memsys_api.store.rows import MEMORY_COLUMNS, MEMORY_WIDTH, Condition, current, read, scope_condition


@dataclass(frozen=True)
class HistoryEntry:
    """One version in a memory's history, with what it replaced."""

    memory_id: UUID
    version: int
    event: str
    old_text: str | None
    new_text: str | None
    created_at: datetime
    recorded_from: datetime
    user_id: str | None


async def get(database: Database, scope: Scope, memory_id: UUID, as_of: datetime | None = None) -> Memory | None:
    """One memory of the scope, or ``None``: absent, deleted, expired or outside it, which cannot be told apart."""
    where, when = scope_condition(scope, "m"), current(as_of)
    async with reading(database, scope.project, as_of) as conn:
        cursor = await conn.execute(
            sql.SQL("SELECT {columns} FROM memory_versions m WHERE {where} AND {when} AND m.id = %(id)s").format(
                columns=MEMORY_COLUMNS, where=where.clause, when=when.clause
            ),
            {**where.parameters, **when.parameters, "id": memory_id},
        )
    row = await cursor.fetchone()
    return None if row is None else read(row)


async def provenance(database: Database, scope: Scope, memory_id: UUID, version: int) -> dict[str, Any]:
    """Who wrote a version, how, and from what: ids, digests and codes."""
    where = scope_condition(scope, "m")
    async with database.transaction(scope.project) as conn:
        cursor = await conn.execute(
            sql.SQL(
                "SELECT m.provenance FROM memory_versions m WHERE {} AND m.id = %(id)s AND m.version = %(version)s"
            ).format(where.clause),
            {**where.parameters, "id": memory_id, "version": version},
        )
        row = await cursor.fetchone()
    return dict(row[0]) if row else {}


async def page(
    database: Database,
    scope: Scope,
    *,
    limit: int,
    before: int | None,
    filters: Sequence[Condition] = (),
    as_of: datetime | None = None,
) -> tuple[list[Memory], int | None]:
    """Memories of the scope, newest first, and the position to go on from (``None``: that was all)."""
    where, when = scope_condition(scope, "m"), current(as_of)
    clauses = [where.clause, when.clause, *(f.clause for f in filters)]
    parameters = {**where.parameters, **when.parameters, "before": before, "limit": limit + 1}
    for condition in filters:
        parameters.update(condition.parameters)
    if before is not None:
        clauses.append(sql.SQL("m.seq < %(before)s"))
    async with reading(database, scope.project, as_of) as conn:
        cursor = await conn.execute(
            sql.SQL(
                "SELECT {columns}, m.seq FROM memory_versions m WHERE {where} ORDER BY m.seq DESC LIMIT %(limit)s"
            ).format(columns=MEMORY_COLUMNS, where=sql.SQL(" AND ").join(clauses)),
            parameters,
        )
    rows = await cursor.fetchall()
    following = rows[limit - 1][MEMORY_WIDTH] if len(rows) > limit else None
    return [read(row) for row in rows[:limit]], following


async def history(
    database: Database, scope: Scope, memory_id: UUID, *, after: int = 0, limit: int | None = None
) -> list[HistoryEntry]:
    """The versions of a memory of the scope that come after one, oldest first. Deleted memories keep theirs."""
    where = scope_condition(scope, "m")
    async with database.transaction(scope.project) as conn:
        cursor = await conn.execute(
            sql.SQL(
                """
                SELECT m.id, m.version,
                       CASE WHEN m.state = 'deleted' THEN 'DELETE' WHEN m.version = 1 THEN 'ADD' ELSE 'UPDATE' END,
                       before.text,
                       CASE WHEN m.state = 'deleted' THEN NULL ELSE m.text END,
                       m.created_at, m.recorded_from, m.user_id
                FROM memory_versions m
                LEFT JOIN memory_versions before
                       ON before.project = m.project AND before.id = m.id AND before.version = m.version - 1
                WHERE {where} AND m.id = %(id)s AND m.version > %(after)s ORDER BY m.version LIMIT %(limit)s
                """
            ).format(where=where.clause),
            {**where.parameters, "id": memory_id, "after": after, "limit": limit},
        )
    return [HistoryEntry(*row) for row in await cursor.fetchall()]
