"""Questions about entities: which there are, what memories state of them, and which speak of them.

Every statement is bound to the versions of memories that the scope may see, now or at a moment of the past.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg import sql

from memsys_api.model import Memory, Scope
from memsys_api.store.database import Connection, Database
from memsys_api.store.merges import Entity
from memsys_api.store.rows import MEMORY_COLUMNS, current, given_ids, read, scope_condition


@dataclass(frozen=True)
class Statement:
    """A relation as one version of a memory states it."""

    memory_id: UUID
    version: int
    subject: str
    predicate: str
    object: str
    valid_from: datetime | None
    valid_to: datetime | None
    recorded_from: datetime
    recorded_to: datetime | None


async def page(database: Database, scope: Scope, *, query: str | None, limit: int, after: str | None) -> list[Entity]:
    """Entities that current memories of the scope mention, in order of their keys, with the names merged into them.

    A scope narrower than the project is shown the names that its own memories mention alone; where the one that stands
    for the others is not among them, the first of them does.
    """
    where, live = scope_condition(scope, "m"), current(None)
    async with database.transaction(scope.project) as conn:
        cursor = await conn.execute(
            sql.SQL(_NARROW_PAGE if given_ids(scope) else _PAGE).format(where=where.clause, live=live.clause),
            {**where.parameters, "after": after, "query": query, "limit": limit},
        )
    return [
        Entity(key, name, kind, [one for one in keys if one != key], memories)
        for key, name, kind, keys, memories in await cursor.fetchall()
    ]


_PAGE = """SELECT e.key, e.name, e.kind, names.keys, seen.memories FROM entities e
           CROSS JOIN LATERAL (
               WITH RECURSIVE names AS (
                   SELECT e.key AS key
                   UNION SELECT g.source_key FROM names JOIN merges g
                       ON g.project = %(project)s AND g.target_key = names.key AND g.reverted_at IS NULL
               ) SELECT array_agg(key ORDER BY key) AS keys FROM names
           ) names
           CROSS JOIN LATERAL (
               SELECT count(DISTINCT n.memory_id) AS memories FROM mentions n
               JOIN memory_versions m ON m.project = n.project AND m.id = n.memory_id AND m.version = n.version
               WHERE n.project = %(project)s AND n.entity_key = ANY(names.keys) AND {where} AND {live}
           ) seen
           WHERE e.project = %(project)s AND (%(after)s::text IS NULL OR e.key > %(after)s)
             AND (%(query)s::text IS NULL OR e.key IN (
                 WITH RECURSIVE called AS (
                     SELECT key FROM entities WHERE project = %(project)s AND position(%(query)s IN key) > 0
                     UNION SELECT g.target_key FROM called JOIN merges g
                         ON g.project = %(project)s AND g.source_key = called.key AND g.reverted_at IS NULL
                 ) SELECT key FROM called))
             AND NOT EXISTS (SELECT FROM merges g WHERE g.project = %(project)s AND g.source_key = e.key
                             AND g.reverted_at IS NULL)
             AND seen.memories > 0
           ORDER BY e.key LIMIT %(limit)s"""

# From the scope's own mentions upwards: other names of an entity are neither shown nor searched nor paged by.
_NARROW_PAGE = """WITH RECURSIVE mentioned AS MATERIALIZED (
               SELECT n.entity_key AS key, n.memory_id FROM memory_versions m
               JOIN mentions n ON n.project = m.project AND n.memory_id = m.id AND n.version = m.version
               WHERE {where} AND {live}
           ), chain AS (
               SELECT DISTINCT key, key AS root FROM mentioned
               UNION SELECT chain.key, g.target_key FROM chain JOIN merges g
                   ON g.project = %(project)s AND g.source_key = chain.root AND g.reverted_at IS NULL
           ), shown AS (
               SELECT CASE WHEN bool_or(key = root) THEN root ELSE min(key) END AS key,
                      array_agg(DISTINCT key) AS keys, count(DISTINCT memory_id) AS memories
               FROM chain JOIN mentioned USING (key)
               WHERE NOT EXISTS (SELECT FROM merges g WHERE g.project = %(project)s AND g.source_key = chain.root
                                 AND g.reverted_at IS NULL)
               GROUP BY root
           )
           SELECT e.key, e.name, e.kind, shown.keys, shown.memories
           FROM shown JOIN entities e ON e.project = %(project)s AND e.key = shown.key
           WHERE (%(after)s::text IS NULL OR e.key > %(after)s)
             AND (%(query)s::text IS NULL
                  OR EXISTS (SELECT FROM unnest(shown.keys) AS name WHERE position(%(query)s IN name) > 0))
           ORDER BY e.key LIMIT %(limit)s"""


async def shown(conn: Connection, scope: Scope, keys: Collection[str], as_of: datetime | None) -> dict[str, str]:
    """The names by which a scope is shown the entities of these keys, which nothing is merged with further up.

    Of the whole project these are the keys. A narrower scope is shown what its own memories mention or state: the key,
    or else the first name merged into it; a name that is current before one of the past.
    """
    if not given_ids(scope):
        return {key: key for key in keys}
    where, live = scope_condition(scope, "m"), current(as_of)
    cursor = await conn.execute(
        sql.SQL(
            """WITH RECURSIVE names AS (
                   SELECT root, root AS key FROM unnest(%(keys)s::text[]) AS root
                   UNION
                   SELECT names.root, g.source_key FROM names
                   JOIN merges g ON g.project = %(project)s AND g.target_key = names.key
                    AND CASE WHEN %(as_of)s::timestamptz IS NULL THEN g.reverted_at IS NULL
                        ELSE g.merged_at <= %(as_of)s AND (g.reverted_at IS NULL OR g.reverted_at > %(as_of)s) END
               )
               SELECT DISTINCT ON (root) root, key FROM names CROSS JOIN LATERAL (
                   SELECT bool_or({live}) AS live FROM (
                       SELECT memory_id, version FROM mentions
                       WHERE project = %(project)s AND entity_key = names.key
                       UNION ALL SELECT memory_id, version FROM relations
                       WHERE project = %(project)s AND (subject_key = names.key OR object_key = names.key)
                   ) said JOIN memory_versions m
                       ON m.project = %(project)s AND m.id = said.memory_id AND m.version = said.version
                   WHERE {where} AND (%(as_of)s::timestamptz IS NULL OR m.recorded_from <= %(as_of)s)
               ) own
               WHERE own.live IS NOT NULL
               ORDER BY root, own.live DESC, key <> root, key"""
        ).format(where=where.clause, live=live.clause),
        {**where.parameters, "as_of": as_of, "keys": list(keys)},
    )
    return dict(await cursor.fetchall())


async def is_spoken_of(conn: Connection, scope: Scope, names: Sequence[str], as_of: datetime | None) -> bool:
    """Whether any memory that the scope may see mentions an entity under one of these names."""
    where, live = scope_condition(scope, "m"), current(as_of)
    cursor = await conn.execute(
        sql.SQL(
            """SELECT EXISTS (
                   SELECT FROM mentions n
                   JOIN memory_versions m ON m.project = n.project AND m.id = n.memory_id AND m.version = n.version
                   WHERE n.project = %(project)s AND n.entity_key = ANY(%(names)s) AND {where} AND {live})"""
        ).format(where=where.clause, live=live.clause),
        {**where.parameters, **live.parameters, "names": list(names)},
    )
    row = await cursor.fetchone()
    return row is not None and bool(row[0])


async def stated(
    conn: Connection,
    scope: Scope,
    names: Sequence[str],
    *,
    as_of: datetime | None,
    valid_at: datetime | None,
    limit: int,
) -> list[Statement]:
    """What is stated of entities under these names, newest first; with ``valid_at`` only what holds then."""
    where, live = scope_condition(scope, "m"), current(as_of)
    cursor = await conn.execute(
        sql.SQL(
            """SELECT {columns} FROM relations r
               JOIN memory_versions m ON m.project = r.project AND m.id = r.memory_id AND m.version = r.version
               WHERE r.project = %(project)s AND (r.subject_key = ANY(%(names)s) OR r.object_key = ANY(%(names)s))
                 AND {where} AND {live}
                 AND (%(valid_at)s::timestamptz IS NULL OR (
                      (r.valid_from IS NULL OR r.valid_from <= %(valid_at)s)
                      AND (r.valid_to IS NULL OR r.valid_to > %(valid_at)s)))
               ORDER BY m.recorded_from DESC, m.id, r.ordinal LIMIT %(limit)s"""
        ).format(columns=_STATEMENT, where=where.clause, live=live.clause),
        {**where.parameters, **live.parameters, "names": list(names), "valid_at": valid_at, "limit": limit},
    )
    return [Statement(*row) for row in await cursor.fetchall()]


async def ever_stated(
    conn: Connection, scope: Scope, names: Sequence[str], *, as_of: datetime | None, limit: int
) -> list[Statement]:
    """What memories that are there still state or have stated in earlier versions, latest valid time first."""
    where, live = scope_condition(scope, "m"), current(as_of, "l")
    cursor = await conn.execute(
        sql.SQL(
            """SELECT {columns} FROM relations r
               JOIN memory_versions m ON m.project = r.project AND m.id = r.memory_id AND m.version = r.version
               WHERE r.project = %(project)s AND (r.subject_key = ANY(%(names)s) OR r.object_key = ANY(%(names)s))
                 AND {where} AND (%(as_of)s::timestamptz IS NULL OR m.recorded_from <= %(as_of)s)
                 AND EXISTS (SELECT FROM memory_versions l WHERE l.project = m.project AND l.id = m.id AND {alive})
               ORDER BY coalesce(r.valid_from, m.event_time) DESC, m.id, r.version DESC, r.ordinal LIMIT %(limit)s"""
        ).format(columns=_STATEMENT, where=where.clause, alive=live.clause),
        {**where.parameters, "as_of": as_of, "names": list(names), "limit": limit},
    )
    return [Statement(*row) for row in await cursor.fetchall()]


async def mentioning(
    conn: Connection, scope: Scope, names: Sequence[str], *, as_of: datetime | None, limit: int
) -> list[Memory]:
    """Memories that mention an entity under one of these names, latest event first."""
    where, live = scope_condition(scope, "m"), current(as_of)
    cursor = await conn.execute(
        sql.SQL(
            """SELECT {columns} FROM memory_versions m
               WHERE {where} AND {live} AND (m.id, m.version) IN (
                   SELECT memory_id, version FROM mentions WHERE project = %(project)s AND entity_key = ANY(%(names)s))
               ORDER BY m.event_time DESC, m.id LIMIT %(limit)s"""
        ).format(columns=MEMORY_COLUMNS, where=where.clause, live=live.clause),
        {**where.parameters, **live.parameters, "names": list(names), "limit": limit},
    )
    return [read(row) for row in await cursor.fetchall()]


async def named(conn: Connection, project: str, keys: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Name and kind of these entities, by key."""
    cursor = await conn.execute(
        "SELECT key, name, kind FROM entities WHERE project = %s AND key = ANY(%s)", (project, list(keys))
    )
    return {row[0]: (row[1], row[2]) for row in await cursor.fetchall()}


_STATEMENT = sql.SQL(
    "r.memory_id, r.version, r.subject_key, r.predicate, r.object_key, r.valid_from, r.valid_to, "
    "m.recorded_from, m.recorded_to"
)
