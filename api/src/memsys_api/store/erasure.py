"""Takes memories out of PostgreSQL for good, from every table that knows of them, and counts again.

:data:`CATALOGUE` names every table there is and what an erasure does with it; a test holds it against the schema.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from psycopg import sql
from psycopg.types.json import Jsonb

from memsys_api.model import Scope
from memsys_api.store import deliveries, inferences, orphans, versions
from memsys_api.store.counting import Counts, changed, counted
from memsys_api.store.database import Connection, Database
from memsys_api.store.generations import Generation
from memsys_api.store.rows import Condition, scope_condition

BATCH = 500
"""Memories that one transaction takes: locks and pauses stay short, and little is done twice after a crash."""

Treatment = Literal[
    "rows",  # the rows of an erased memory go, by the column named
    "scope",  # rows with the erased scope's own ids go
    "records",  # what only points to erased memories is emptied of them
    "orphans",  # goes when no memory speaks of it any more
    "ids",  # holds ids, times and codes alone, and stays or runs out by itself
    "system",  # holds nothing of any memory
]


@dataclass(frozen=True)
class Table:
    """What an erasure does with a table."""

    treatment: Treatment
    memory: str = "memory_id"
    """The column with a memory's id, where rows go by it; empty: there is none."""
    time: str = "created_at"
    """The column that says since when a row of a ``scope`` is there."""
    memories: str = ""
    """The column of a ``scope`` with many memories' ids: a row goes with the first of them, however new it is."""


CATALOGUE: dict[str, Table] = {
    "memory_versions": Table("rows", "id"),
    "embeddings": Table("rows"),  # embeddings_<generation>, all of them
    "mentions": Table("rows"),
    "relations": Table("rows"),
    "entities": Table("orphans"),
    "merges": Table("orphans"),
    "idempotency": Table("records"),
    "inference_requests": Table("records"),
    "inferences": Table("records"),
    "held": Table("scope", memories="source_ids", time="held_at"),
    "add_events": Table("scope", memory=""),
    "shaped_exports": Table("scope", memory="", memories="memory_ids"),
    "shaping_jobs": Table("ids"),
    "feedback": Table("rows"),
    "outbox": Table("ids"),
    "outbox_horizons": Table("ids"),
    "webhook_deliveries": Table("ids"),
    "webhook_returns": Table("ids"),
    "fills": Table("ids"),
    "deliveries": Table("ids"),
    "audit": Table("ids"),
    "rebuilds": Table("ids"),
    "erasures": Table("ids"),
    "erased": Table("ids"),
    "policies": Table("system"),
    "webhooks": Table("system"),
    "keys": Table("system"),
    "llm_usage": Table("system"),
    "rate_buckets": Table("system"),
    "projects": Table("system"),
    "generations": Table("system"),
    "schema_migrations": Table("system"),
}


@dataclass(frozen=True)
class Target:
    """What is to be forgotten: every memory that all of this is true of."""

    scope: Scope
    recorded_before: datetime
    """What was recorded later stays: it is new."""
    memory_ids: Sequence[UUID] | None = None

    def condition(self) -> Condition:
        """On the first versions, as `m`: they are always there, and what they say of the scope never changes."""
        where = first_versions(self.scope, self.memory_ids)
        clause = sql.SQL("{} AND m.recorded_from <= %(recorded_before)s").format(where.clause)
        return Condition(clause, {**where.parameters, "recorded_before": self.recorded_before})


def first_versions(scope: Scope, memory_ids: Sequence[UUID] | None) -> Condition:
    """The first versions, as `m`, of a scope's memories, or of those of these ids that are among them."""
    where = scope_condition(scope, "m")
    clauses = [where.clause, sql.SQL("m.version = 1")]
    parameters = where.parameters
    if memory_ids is not None:
        clauses.append(sql.SQL("m.id = ANY(%(ids)s)"))
        parameters = {**parameters, "ids": list(memory_ids)}
    return Condition(sql.SQL(" AND ").join(clauses), parameters)


async def tables(conn: Connection) -> dict[str, Table]:
    """The catalogue with each generation's embeddings by their tables' own names."""
    cursor = await conn.execute("SELECT id FROM generations ORDER BY id")
    embeddings = {f"embeddings_{row[0]}": CATALOGUE["embeddings"] for row in await cursor.fetchall()}
    return {name: table for name, table in CATALOGUE.items() if name != "embeddings"} | embeddings


async def date_back(conn: Connection, scope: Scope, memory_ids: Sequence[UUID] | None) -> None:
    """Let memories that are said to be recorded in the future be recorded now, in the caller's transaction.

    They are here, so an erasure that is requested now means them; an import could bring such times once, and a server's
    clock can be set back. Later, new memories could not be told from them any more.
    """
    where = first_versions(scope, memory_ids)
    await conn.execute(
        sql.SQL(
            """UPDATE memory_versions v SET recorded_from = clock_timestamp()
               FROM (SELECT m.project, m.id FROM memory_versions m
                     WHERE {} AND m.recorded_from > statement_timestamp() ORDER BY m.id FOR UPDATE) early
               WHERE v.project = early.project AND v.id = early.id AND v.version = 1
                 AND v.recorded_from > clock_timestamp()"""
        ).format(where.clause),
        where.parameters,
    )


async def sweep(
    conn: Connection, generation: Generation, erasure: UUID, target: Target, sinks: Sequence[str]
) -> tuple[int, Counts]:
    """Take the next memories of the target, in the caller's transaction: how many, and the rows by table.

    Whoever changes one of them at the same time is waited for, or finds it gone. They are deleted first, so that
    webhooks and the change stream hear of it, and their tombstones become due at every sink; then every row goes.
    """
    project, where = target.scope.project, target.condition()
    cursor = await conn.execute(
        sql.SQL("SELECT m.id FROM memory_versions m WHERE {} ORDER BY m.id LIMIT {} FOR UPDATE").format(
            where.clause, sql.Literal(BATCH)
        ),
        where.parameters,
    )
    ids = [row[0] for row in await cursor.fetchall()]
    if not ids:
        return 0, {}
    await versions.bury(conn, generation, target.scope, ids, {}, which="both")
    cursor = await conn.execute(
        "SELECT id, max(version) FROM memory_versions WHERE project = %s AND id = ANY(%s) GROUP BY id", (project, ids)
    )
    tombstones = [(memory_id, version) for memory_id, version in await cursor.fetchall()]
    await orphans.take(conn, project, erasure, tombstones)
    counts: Counts = {}
    for name, table in (await tables(conn)).items():
        if table.treatment == "rows":
            counts[name] = await counted(
                conn,
                changed(
                    sql.SQL("DELETE FROM {} WHERE project = %s AND {} = ANY(%s)").format(
                        sql.Identifier(name), sql.Identifier(table.memory)
                    )
                ),
                (project, ids),
            )
    await deliveries.enqueue(conn, project, sinks, tombstones)
    return len(ids), counts


async def strip(conn: Connection, erasure: UUID, target: Target) -> Counts:
    """Empty what points to erased memories, and remove what waits within the scope without being a memory yet.

    An idempotency key stays known as used, as a digest, until it runs out: a client that repeats its request is
    refused instead of raising the dead.
    """
    values = {"project": target.scope.project, "erasure": erasure}
    keys = _keys(erasure, target)
    counts = {
        "idempotency": await counted(
            conn,
            changed(
                sql.SQL(
                    """UPDATE idempotency t SET key = 'erased:' || encode(sha256(convert_to(key, 'UTF8')), 'hex'),
                          request_hash = '', memory_ids = '{{}}', outcomes = '[]', review_ids = NULL
                   WHERE {}"""
                ).format(keys.clause)
            ),
            keys.parameters,
        )
    }
    cursor = await conn.execute(
        sql.SQL(
            """UPDATE inference_requests t SET memory_ids = ARRAY(
                   SELECT left_over.id FROM unnest(t.memory_ids) WITH ORDINALITY AS left_over(id, place)
                   WHERE NOT EXISTS (SELECT FROM erased e WHERE e.project = t.project
                                     AND e.erasure_id = %(erasure)s AND e.memory_id = left_over.id) ORDER BY place)
               WHERE t.project = %(project)s AND EXISTS (
                   SELECT FROM unnest(t.memory_ids) AS named(id) WHERE NOT EXISTS (
                       SELECT FROM erased e WHERE e.project = t.project AND e.erasure_id = %(erasure)s
                                              AND e.memory_id = named.id)) AND"""
        )
        + _POINTING
        + sql.SQL(" RETURNING t.memory_ids"),
        values,
    )
    for (left_over,) in await cursor.fetchall():
        await inferences.settle(conn, target.scope.project, left_over)
    waiting = _requests(erasure, target)
    cursor = await conn.execute(
        sql.SQL("DELETE FROM inference_requests t WHERE {} RETURNING t.id").format(waiting.clause), waiting.parameters
    )
    requests = [row[0] for row in await cursor.fetchall()]
    await conn.execute("DELETE FROM inferences WHERE project = %s AND id = ANY(%s)", (target.scope.project, requests))
    counts["inference_requests"] = len(requests)
    for name, table in CATALOGUE.items():
        if table.treatment == "scope":
            within = _within(table, erasure, target)
            counts[name] = await counted(
                conn,
                changed(sql.SQL("DELETE FROM {} m WHERE {}").format(sql.Identifier(name), within.clause)),
                within.parameters,
            )
    return counts


def _pointing(alias: str) -> sql.Composable:
    return sql.SQL(
        """ EXISTS (SELECT FROM unnest({0}.memory_ids) AS pointed(id) JOIN erased e
                    ON e.project = {0}.project AND e.erasure_id = %(erasure)s AND e.memory_id = pointed.id)"""
    ).format(sql.Identifier(alias))


_POINTING = _pointing("t")


def _keys(erasure: UUID, target: Target) -> Condition:
    """Idempotency keys, as `t`: of erased memories, of reviews that go with them, and of those that released them."""
    reviewed = _within(CATALOGUE["held"], erasure, target)
    clause = sql.SQL(
        """t.project = %(project)s AND ({} OR EXISTS (
             SELECT FROM unnest(t.review_ids) AS reviewed(id)
             JOIN held m ON m.project = t.project AND m.id = reviewed.id WHERE {} OR {}))"""
    ).format(_POINTING, _pointing("m"), reviewed.clause)
    return Condition(clause, reviewed.parameters)


def _requests(erasure: UUID, target: Target) -> Condition:
    """Requests that wait for the language model, as `t`: all of whose messages are erased, or of the scope alone."""
    clause: sql.Composable = _POINTING
    if target.memory_ids is None:
        clause = sql.SQL(
            """({} OR (t.memory_ids = '{{}}' AND t.created_at <= %(recorded_before)s
                       AND t.request -> 'scope' @> %(within)s))"""
        ).format(_POINTING)
    given = {field: value for field, value in asdict(target.scope).items() if value is not None}
    return Condition(
        sql.SQL("t.project = %(project)s AND {}").format(clause),
        {
            "project": target.scope.project,
            "erasure": erasure,
            "recorded_before": target.recorded_before,
            "within": Jsonb(given),
        },
    )


def _within(table: Table, erasure: UUID, target: Target) -> Condition:
    """What is of the target in a table with ids of its own, as `m`: by these, or as a change of an erased memory."""
    where = scope_condition(target.scope, "m")
    clauses: list[sql.Composable] = []
    if target.memory_ids is None:
        clauses.append(where.clause)
    if table.memory:
        clauses.append(
            sql.SQL(
                """m.{} IN (SELECT e.memory_id FROM erased e
                            WHERE e.project = %(project)s AND e.erasure_id = %(erasure)s)"""
            ).format(sql.Identifier(table.memory))
        )
        if target.memory_ids is not None:  # also of what never became a memory
            clauses.append(sql.SQL("m.{} = ANY(%(ids)s)").format(sql.Identifier(table.memory)))
    old = sql.SQL("({}) AND m.{} <= %(recorded_before)s").format(
        sql.SQL(" OR ").join(clauses or [sql.SQL("false")]), sql.Identifier(table.time)
    )
    made_of: sql.Composable = sql.SQL("false")
    if table.memories:
        made_of = sql.SQL(
            """EXISTS (SELECT FROM erased e WHERE e.project = %(project)s AND e.erasure_id = %(erasure)s
                                              AND e.memory_id = ANY(m.{}))"""
        ).format(sql.Identifier(table.memories))
    return Condition(
        sql.SQL("m.project = %(project)s AND ({} OR {})").format(old, made_of),
        {
            **where.parameters,
            "erasure": erasure,
            "recorded_before": target.recorded_before,
            "ids": list(target.memory_ids or ()),
        },
    )


async def left(database: Database, erasure: UUID, target: Target) -> Counts:
    """What there still is of the target, by table: all zero when it is forgotten."""
    project, where = target.scope.project, target.condition()
    counts: Counts = {}
    async with database.transaction(project) as conn:
        for name, table in (await tables(conn)).items():
            if table.treatment == "rows":
                counts[name] = await counted(
                    conn,
                    sql.SQL(
                        """SELECT count(*) FROM {} t JOIN erased e ON e.project = t.project AND e.memory_id = t.{}
                           WHERE e.project = %s AND e.erasure_id = %s"""
                    ).format(sql.Identifier(name), sql.Identifier(table.memory)),
                    (project, erasure),
                )
        counts["memory_versions"] += await counted(
            conn, sql.SQL("SELECT count(*) FROM memory_versions m WHERE {}").format(where.clause), where.parameters
        )
        of_project = sql.SQL("t.project = %(project)s AND") + _POINTING
        waiting = Condition(of_project, {"project": project, "erasure": erasure})
        for name, pointing in (("idempotency", _keys(erasure, target)), ("inference_requests", waiting)):
            counts[name] = await counted(
                conn,
                sql.SQL("SELECT count(*) FROM {} t WHERE {}").format(sql.Identifier(name), pointing.clause),
                pointing.parameters,
            )
        for name, table in CATALOGUE.items():
            if table.treatment == "scope":
                within = _within(table, erasure, target)
                counts[name] = await counted(
                    conn,
                    sql.SQL("SELECT count(*) FROM {} m WHERE {}").format(sql.Identifier(name), within.clause),
                    within.parameters,
                )
    return counts


async def taken(
    conn: Connection, project: str, erasure: UUID, after: UUID | None, limit: int
) -> list[tuple[UUID, int]]:
    """The erased memories and the versions of their tombstones, in order of id."""
    cursor = await conn.execute(
        """SELECT memory_id, version FROM erased
           WHERE project = %(project)s AND erasure_id = %(erasure)s
             AND (%(after)s::uuid IS NULL OR memory_id > %(after)s) ORDER BY memory_id LIMIT %(limit)s""",
        {"project": project, "erasure": erasure, "after": after, "limit": limit},
    )
    return [(row[0], row[1]) for row in await cursor.fetchall()]


async def undelivered(conn: Connection, project: str, erasure: UUID) -> list[tuple[str, int, int, str | None]]:
    """What sinks have not been told yet: name, how many deliveries, how many of them parked, the last error.

    Also of what others' memories are called now, where a name that they had been merged into is erased.
    """
    cursor = await conn.execute(
        """SELECT d.sink, count(*), count(*) FILTER (WHERE d.state = 'parked'),
                  (array_agg(d.error ORDER BY d.due_at DESC) FILTER (WHERE d.error IS NOT NULL))[1]
           FROM deliveries d
           WHERE d.project = %(project)s AND d.memory_id IN (
               SELECT memory_id FROM erased WHERE project = %(project)s AND erasure_id = %(erasure)s
               UNION SELECT unnest(renamed) FROM erasures WHERE project = %(project)s AND id = %(erasure)s)
           GROUP BY d.sink ORDER BY d.sink""",
        {"project": project, "erasure": erasure},
    )
    return [(row[0], row[1], row[2], row[3]) for row in await cursor.fetchall()]


def ids_of(changed: Sequence[tuple[UUID, int]]) -> list[UUID]:
    return [memory_id for memory_id, _ in changed]
