"""The audit trail: who changed what and when, in ids and counts, never in words of a memory.

Changes write themselves: triggers on the tables (migration 0007) add a row in the transaction of the change, so that no
flow can forget it. What is an act without being a change of such a table is recorded by :func:`record`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import sql
from psycopg.types.json import Jsonb

from memsys_api.store import chores
from memsys_api.store.database import Connection, Database, connect, translated

log = logging.getLogger(__name__)

_PERIOD_SECONDS = 6 * 3600.0


class Audited(NamedTuple):
    """How the rows of a table appear in the trail."""

    kind: str
    """What a row is called; actions are ``<kind>.created``, ``.updated``, ``.revoked`` and ``.deleted``."""
    project: str
    """The column with the project that a change concerns."""
    target: str
    """The column that identifies a row."""


ROWS = {
    "merges": Audited("merge", "project", "id"),
    "keys": Audited("key", "default_project", "id"),
    "policies": Audited("policy", "project", "project"),
    "webhooks": Audited("webhook", "project", "id"),
    "feedback": Audited("feedback", "project", "memory_id"),
    "shaped_exports": Audited("export", "project", "id"),
}
"""The tables whose rows are audited one by one. Memories are audited by what they leave in ``outbox``."""


@dataclass(frozen=True)
class Entry:
    """One act."""

    id: int
    at: datetime
    actor: str
    actor_name: str | None
    """What the key is called now; the trail itself holds its id alone."""
    action: str
    target: str | None
    request_id: str | None
    detail: dict[str, Any]


@dataclass(frozen=True)
class Question:
    """Which acts are asked for; ``None``: any."""

    actor: str | None = None
    action: str | None = None
    """An action, or the kind of several: ``memory`` stands for ``memory.added`` and all others of it."""
    target: str | None = None
    since: datetime | None = None
    until: datetime | None = None


async def attach(conn: Connection) -> None:
    """Have the tables of :data:`ROWS` that there are write themselves into the trail; as their owner."""
    cursor = await conn.execute(
        """SELECT t.tablename FROM pg_tables t
           WHERE t.schemaname = current_schema() AND t.tablename = ANY(%s)
             AND NOT EXISTS (SELECT FROM pg_trigger g WHERE g.tgname = 'audited'
                             AND g.tgrelid = format('%%I.%%I', t.schemaname, t.tablename)::regclass)""",
        (list(ROWS),),
    )
    for (table,) in await cursor.fetchall():
        arguments = sql.SQL(", ").join(sql.Literal(argument) for argument in ROWS[table])
        await conn.execute(
            sql.SQL(
                "CREATE TRIGGER audited AFTER INSERT OR UPDATE OR DELETE ON {} "
                "FOR EACH ROW EXECUTE FUNCTION audit_row({})"
            ).format(sql.Identifier(table), arguments)
        )


async def record(conn: Connection, project: str, action: str, target: str | UUID | None = None, **detail: Any) -> None:
    """Write down an act in the caller's transaction. ``detail`` is of ids, counts and codes."""
    await conn.execute(
        """INSERT INTO audit (project, actor, action, target, request_id, detail)
           VALUES (%s, acting(), %s, %s, acting_in(), %s)""",
        (project, action, None if target is None else str(target), Jsonb(detail)),
    )


async def attribute(conn: Connection, actor: str) -> None:
    """Have what this transaction still does written down as this actor's."""
    await conn.execute("SELECT set_config('memsys.actor', %s, true)", (actor,))


async def page(
    database: Database, project: str, question: Question, *, limit: int, before: int | None
) -> tuple[list[Entry], int | None]:
    """Acts within a project, newest first, and the position to go on from (``None``: that was all)."""
    async with database.transaction(project) as conn:
        only_actor = question.actor if question.target is None else None
        many = only_actor is not None and await acts_for_many(conn, project, only_actor)
        statement, parameters = sought(project, question, many, limit=limit + 1, before=before)
        cursor = await conn.execute(statement, parameters)
        rows: Sequence[tuple[Any, ...]] = await cursor.fetchall()
    entries = [Entry(*row) for row in rows[:limit]]
    return entries, entries[-1].id if len(rows) > limit else None


FEW = 10_000
"""Acts of an actor for others that are read and sorted; where there are more, the trail is walked back through."""

# What begins with "<actor> for ", as an index answers it: in the order of "C", whichever the database has, it lies
# between that and "<actor> for!". The first condition is the index's own.
_FOR_OTHERS = """strpos(a.actor, ' for ') > 0 AND a.actor COLLATE "C" >= %(actor)s::text || ' for '
    AND a.actor COLLATE "C" < %(actor)s::text || ' for!'"""
_BY_ANYWAY = f"(a.actor = %(actor)s OR ({_FOR_OTHERS}))"
_NEWEST = "a.id DESC"
_SORTED = "a.id + 0 DESC"  # what are few: not by walking back through the trail until enough of them have come


async def acts_for_many(conn: Connection, project: str, actor: str) -> bool:
    """Whether there are too many acts of an actor for others to sort them."""
    cursor = await conn.execute(
        sql.SQL(
            """SELECT count(*) FROM (SELECT FROM audit a WHERE a.project = %(project)s AND {}
                                     ORDER BY a.actor COLLATE "C", a.id LIMIT %(few)s) a"""
        ).format(sql.SQL(_FOR_OTHERS)),
        {"project": project, "actor": actor, "few": FEW},
    )
    return await cursor.fetchone() == (FEW,)


def sought(
    project: str, question: Question, many: bool, *, limit: int, before: int | None
) -> tuple[sql.Composed, dict[str, Any]]:
    """The statement that finds at most ``limit`` acts before the position ``before``, newest first.

    ``many`` is what :func:`acts_for_many` says of the actor that is asked for. A target is the act's own or among those
    that it lists, an actor acts itself or for others: the statement has a part for each, answered by an index of its
    own. What is asked besides filters what these find.
    """
    given = {
        "a.id < %(before)s": before,
        "(a.action = %(action)s OR starts_with(a.action, %(action)s::text || '.'))": question.action,
        "a.at >= %(since)s": question.since,
        "a.at < %(until)s": question.until,
    }
    conditions = ["a.project = %(project)s", *(condition for condition, value in given.items() if value is not None)]
    parts = [("true", _NEWEST)]
    if question.target is not None:
        parts = [("a.target = %(target)s", _NEWEST), ("a.target IS NULL AND a.detail @> %(listed)s", _SORTED)]
    elif question.actor is not None and not many:
        parts = [("a.actor = %(actor)s", _NEWEST), (_FOR_OTHERS, _SORTED)]
    if question.actor is not None and (many or question.target is not None):
        conditions.append(_BY_ANYWAY)
    found = sql.SQL(" UNION ALL ").join(
        sql.SQL("(SELECT a.* FROM audit a WHERE {} ORDER BY {} LIMIT %(limit)s)").format(
            sql.SQL(" AND ").join(map(sql.SQL, [*conditions, part])), sql.SQL(order)
        )
        for part, order in parts
    )
    statement = sql.SQL(
        """SELECT a.id, a.at, a.actor, k.name, a.action, a.target, a.request_id, a.detail
           FROM ({}) a LEFT JOIN keys k ON k.id = split_part(a.actor, ' ', 1)
           ORDER BY a.id DESC LIMIT %(limit)s"""
    ).format(found)
    return statement, {
        "project": project,
        "before": before,
        "limit": limit,
        "actor": question.actor,
        "action": question.action,
        "target": question.target,
        "listed": Jsonb({"memory_ids": [question.target]}),
        "since": question.since,
        "until": question.until,
    }


async def forget(owner_url: str, older_than: timedelta) -> int:
    """Remove what is older, as the owner: the serving role may only add. Raises :class:`DatabaseUnavailable`."""
    removed = 0
    conn = await connect(owner_url)
    try:
        async with translated():
            cursor = await conn.execute("SELECT name FROM projects UNION SELECT default_project FROM keys ORDER BY 1")
            for (project,) in await cursor.fetchall():
                async with conn.transaction():
                    await conn.execute("SELECT set_config('memsys.project', %s, true)", (project,))
                    gone = await conn.execute(
                        "DELETE FROM audit WHERE project = %s AND at < now() - %s", (project, older_than)
                    )
                removed += gone.rowcount
    finally:
        await conn.close()
    return removed


async def keep(owner_url: str, days: int) -> None:
    """Forget by and by what is older than so many days; never returns."""

    async def shorten() -> None:
        if removed := await forget(owner_url, timedelta(days=days)):
            log.info("audit trail shortened", extra={"rows": removed})

    await chores.repeat("audit", shorten, _PERIOD_SECONDS)
