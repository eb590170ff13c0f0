"""Webhooks as they are registered, behind the wall."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import sql

from memsys_api.model import Scope
from memsys_api.store import webhook_deliveries
from memsys_api.store.database import Database
from memsys_api.store.rows import scope_condition, scope_values

_COLUMNS = sql.SQL(
    "w.id, w.project, w.user_id, w.agent_id, w.app_id, w.run_id, w.url, w.description, w.events, w.include, w.secret, "
    "w.active, w.created_at, w.updated_at"
)
_CHANGEABLE = ("url", "description", "events", "include", "secret", "active")


@dataclass(frozen=True)
class Webhook:
    """Who is told of which changes. It sees what its scope holds."""

    id: UUID
    scope: Scope
    url: str
    description: str
    events: Sequence[str]
    include: Sequence[str]
    secret: str
    """As it is stored: perhaps sealed."""
    active: bool
    created_at: datetime
    updated_at: datetime


def _read(row: Sequence[Any]) -> Webhook:
    return Webhook(row[0], Scope(*row[1:6]), *row[6:])


async def insert(
    database: Database, webhook_id: UUID, scope: Scope, values: Mapping[str, Any], most: int
) -> Webhook | None:
    """Register one, with all of its changeable columns; ``None``: the project has ``most`` of them already."""
    async with database.transaction(scope.project) as conn:
        await conn.execute("SELECT pg_advisory_xact_lock(hashtextextended('webhooks:' || %s, 0))", (scope.project,))
        cursor = await conn.execute(
            sql.SQL(
                """INSERT INTO webhooks AS w (project, id, user_id, agent_id, app_id, run_id, url, description, events,
                                              include, secret, active)
                   SELECT %(project)s, %(id)s, %(user_id)s, %(agent_id)s, %(app_id)s, %(run_id)s, %(url)s,
                          %(description)s, %(events)s, %(include)s, %(secret)s, %(active)s
                   WHERE (SELECT count(*) FROM webhooks WHERE project = %(project)s) < %(most)s
                   RETURNING {}"""
            ).format(_COLUMNS),
            {**scope_values(scope), **values, "id": webhook_id, "most": most},
        )
        row = await cursor.fetchone()
    return None if row is None else _read(row)


async def page(database: Database, scope: Scope) -> list[Webhook]:
    """The webhooks of a scope, oldest first."""
    where = scope_condition(scope, "w")
    async with database.transaction(scope.project) as conn:
        cursor = await conn.execute(
            sql.SQL("SELECT {} FROM webhooks w WHERE {} ORDER BY w.created_at, w.id").format(_COLUMNS, where.clause),
            where.parameters,
        )
    return [_read(row) for row in await cursor.fetchall()]


async def get(database: Database, scope: Scope, webhook_id: UUID) -> Webhook | None:
    """One webhook of the scope."""
    where = scope_condition(scope, "w")
    async with database.transaction(scope.project) as conn:
        cursor = await conn.execute(
            sql.SQL("SELECT {} FROM webhooks w WHERE {} AND w.id = %(id)s").format(_COLUMNS, where.clause),
            {**where.parameters, "id": webhook_id},
        )
        row = await cursor.fetchone()
    return None if row is None else _read(row)


async def update(database: Database, scope: Scope, webhook_id: UUID, changes: Mapping[str, Any]) -> Webhook | None:
    """Change some columns; one that is switched off keeps what it has not been told, and goes on with it later."""
    where = scope_condition(scope, "w")
    columns = [column for column in _CHANGEABLE if column in changes]
    assignments = sql.SQL(", ").join(
        [
            *(sql.SQL("{} = {}").format(sql.Identifier(c), sql.Placeholder(c)) for c in columns),
            sql.SQL("updated_at = now()"),
        ]
    )
    async with database.transaction(scope.project) as conn:
        cursor = await conn.execute(
            sql.SQL("UPDATE webhooks w SET {} WHERE {} AND w.id = %(id)s RETURNING {}").format(
                assignments, where.clause, _COLUMNS
            ),
            {**where.parameters, **changes, "id": webhook_id},
        )
        row = await cursor.fetchone()
        if row is not None and changes.get("active"):
            await webhook_deliveries.note_return(conn, scope.project, webhook_id, "paused")
    return None if row is None else _read(row)


async def delete(database: Database, scope: Scope, webhook_id: UUID) -> bool:
    """Forget a webhook and what it was still to be told."""
    where = scope_condition(scope, "w")
    async with database.transaction(scope.project) as conn:
        cursor = await conn.execute(
            sql.SQL("DELETE FROM webhooks w WHERE {} AND w.id = %(id)s RETURNING true").format(where.clause),
            {**where.parameters, "id": webhook_id},
        )
        if await cursor.fetchone() is None:
            return False
        for queue in ("webhook_deliveries", "webhook_returns"):
            await conn.execute(
                sql.SQL("DELETE FROM {} WHERE project = %s AND webhook_id = %s").format(sql.Identifier(queue)),
                (scope.project, webhook_id),
            )
    return True
