"""The memories of exactly one scope that are nearest to what is said: what the language model is shown."""

from __future__ import annotations

from typing import Any

from psycopg import sql

from memsys_api.model import Memory, Scope
from memsys_api.ports import Vectors
from memsys_api.store import index_walk, vector_index
from memsys_api.store.contents import vector
from memsys_api.store.database import Connection, Database
from memsys_api.store.facts import INFERRED
from memsys_api.store.generations import Generation
from memsys_api.store.rows import MEMORY_COLUMNS, Condition, current, exact_scope, read

_EACH = 5
"""How many each vector puts forward."""


async def nearest(
    database: Database, generation: Generation, scope: Scope, vectors: Vectors, limit: int, *, large: int | None
) -> list[Memory]:
    """Current memories of exactly the scope that are nearest to any of the vectors, best first.

    ``large`` is how many memories a scope has that is too large to be compared whole; ``None``: it is not.
    """
    where = exact_scope(scope, "m")
    asked = {"vectors": [vector(generation, v) for v in vectors], "limit": limit, "large": large}
    async with database.transaction(scope.project) as conn:
        if large is not None and await vector_index.is_built(conn, generation, scope.project):
            await conn.execute(index_walk.PLANNING.format("force_custom_plan"))
            rows = await _rows(conn, _walked(generation, scope, where), where.parameters | asked)
            if rows:
                return [read(row) for row in rows]
        return [read(row) for row in await _rows(conn, _compared(generation, where), where.parameters | asked)]


async def _rows(conn: Connection, text: sql.Composed, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
    return await (await conn.execute(text, parameters)).fetchall()


def _compared(generation: Generation, where: Condition) -> sql.Composed:
    """All vectors of the scope, read once, with each of those that are asked by."""
    return sql.SQL(
        """
        WITH own AS MATERIALIZED (
            SELECT m.id, m.version, e.embedding
            FROM memory_versions m
            JOIN {table} e ON e.project = m.project AND e.memory_id = m.id AND e.version = m.version
            WHERE {where} AND {live} AND {inferred} AND e.project = %(project)s AND e.head
        ), found AS (
            SELECT id, version, cosine FROM unnest(%(vectors)s::{type}[]) AS asked(vector)
            CROSS JOIN LATERAL (
                SELECT id, version, 1 - (embedding <=> asked.vector) AS cosine FROM own
                ORDER BY cosine DESC LIMIT {each}
            ) best
        )
        {best}
        """
    ).format(
        table=generation.table,
        type=generation.type,
        where=where.clause,
        live=current(None).clause,
        inferred=INFERRED,
        each=sql.Literal(_EACH),
        best=_BEST,
    )


def _walked(generation: Generation, scope: Scope, where: Condition) -> sql.Composed:
    """Through the project's index, as far as it is gone through for a part of a project.

    No rows at all where one of the vectors comes upon too few: then the scope is to be compared whole.
    """
    return sql.SQL(
        """
        WITH found AS MATERIALIZED (
            SELECT asked.nr, id, version, cosine
            FROM unnest(%(vectors)s::{type}[]) WITH ORDINALITY AS asked(vector, nr)
            CROSS JOIN LATERAL (
                SELECT memory_id AS id, version, 1 - distance AS cosine FROM (
                    {passed}
                ) passed
                WHERE (SELECT true FROM memory_versions m WHERE {version} AND {where} AND {live} AND {inferred})
                LIMIT {each}
            ) best
        ), enough AS (
            SELECT count(*) = {each} * cardinality(%(vectors)s::{type}[]) AS yes FROM found
        )
        {best}
        """
    ).format(
        type=generation.type,
        passed=index_walk.nearest_of(
            generation,
            scope.project,
            sql.SQL("e.project, e.memory_id, e.version, e.embedding <=> asked.vector AS distance"),
            sql.SQL("asked.vector"),
            sql.SQL("%(large)s::bigint"),
        ),
        version=index_walk.VERSION_OF.format(sql.SQL("passed")),
        where=where.clause,
        live=current(None).clause,
        inferred=INFERRED,
        each=sql.Literal(_EACH),
        best=_BEST_IF_ENOUGH,
    )


def _best(source: sql.SQL) -> sql.Composed:
    return sql.SQL(
        """
        SELECT {columns} FROM (
            SELECT id, version, max(cosine) AS cosine FROM {source} GROUP BY id, version
            ORDER BY cosine DESC LIMIT %(limit)s
        ) near
        JOIN memory_versions m ON m.project = %(project)s AND m.id = near.id AND m.version = near.version
        ORDER BY near.cosine DESC
        """
    ).format(columns=MEMORY_COLUMNS, source=source)


_BEST = _best(sql.SQL("found"))
_BEST_IF_ENOUGH = _best(sql.SQL("found JOIN enough ON yes"))
