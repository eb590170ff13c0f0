"""Lists by page number: memories, and the users, agents, apps and runs they belong to."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from psycopg import sql

from memsys_api.model import Memory, Scope
from memsys_api.store import versions
from memsys_api.store.database import Database
from memsys_api.store.rows import MEMORY_COLUMNS, Condition, current, read, scope_condition


class Entity(NamedTuple):
    """One of the ids that memories stand under."""

    kind: str
    name: str
    memories: int
    created_at: datetime
    """Of its oldest memory."""
    updated_at: datetime
    """Of the last change."""


async def page(
    database: Database, scope: Scope, *, number: int, size: int, filters: Sequence[Condition] = ()
) -> tuple[int, list[Memory]]:
    """How many memories of the scope there are, and the numbered page of them (from 1), newest first."""
    where, when = scope_condition(scope, "m"), current(None)
    inside = sql.SQL(" AND ").join([where.clause, when.clause, *(f.clause for f in filters)])
    parameters = {**where.parameters, **when.parameters}
    for condition in filters:
        parameters.update(condition.parameters)
    async with database.transaction(scope.project) as conn:
        cursor = await conn.execute(
            sql.SQL("SELECT count(*) FROM memory_versions m WHERE {}").format(inside), parameters
        )
        total = await cursor.fetchone()
        assert total is not None
        cursor = await conn.execute(
            sql.SQL(
                "SELECT {} FROM memory_versions m WHERE {} ORDER BY m.seq DESC LIMIT %(size)s OFFSET %(skipped)s"
            ).format(MEMORY_COLUMNS, inside),
            {**parameters, "size": size, "skipped": (number - 1) * size},
        )
        return total[0], [read(row) for row in await cursor.fetchall()]


async def entities(database: Database, scope: Scope, *, number: int, size: int) -> tuple[int, list[Entity]]:
    """How many ids the scope's memories stand under, and the numbered page of them (from 1), by kind and name."""
    where, when = scope_condition(scope, "m"), current(None)
    async with database.transaction(scope.project) as conn:
        cursor = await conn.execute(
            sql.SQL(
                """
                WITH found AS MATERIALIZED (
                    SELECT ids.kind, ids.name, count(*) AS memories, min(m.created_at) AS created_at,
                           max(m.recorded_from) AS updated_at
                    FROM memory_versions m CROSS JOIN LATERAL (VALUES
                        ('user', m.user_id), ('agent', m.agent_id), ('app', m.app_id), ('run', m.run_id)
                    ) AS ids(kind, name)
                    WHERE {} AND {} AND ids.name IS NOT NULL GROUP BY ids.kind, ids.name
                ), asked AS (
                    SELECT * FROM found ORDER BY kind, name LIMIT %(size)s OFFSET %(skipped)s
                )
                SELECT (SELECT count(*) FROM found), asked.* FROM (SELECT) AS always LEFT JOIN asked ON true
                ORDER BY kind, name
                """
            ).format(where.clause, when.clause),
            {**where.parameters, **when.parameters, "size": size, "skipped": (number - 1) * size},
        )
        rows = await cursor.fetchall()
    return rows[0][0], [Entity(*row[1:]) for row in rows if row[1] is not None]


async def ever(database: Database, scope: Scope) -> bool:
    """Whether there is or was a memory of the scope, deleted ones among them; what was erased never was."""
    async with database.transaction(scope.project) as conn:
        return await versions.newest(conn, scope) > 0
