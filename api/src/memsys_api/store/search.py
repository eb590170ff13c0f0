"""Finds what may answer a query: the candidates of one search, in one statement.

The best by vector, the best by words and those the graph named; around each of them its neighbours in the same
thread; every one with its own cosine and BM25, because a neighbour is a candidate like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt
from psycopg import sql

from memsys_api.model import Memory, Scope
from memsys_api.store.database import Database
from memsys_api.store.generations import Generation
from memsys_api.store.rows import MEMORY_COLUMNS, MEMORY_WIDTH, Condition, current, read, scope_condition
from memsys_api.store.versions import vector

POOL = 100
"""How many candidates each of vector and words puts forward."""
REACH = 2
"""How many turns before and after a candidate are candidates too."""
_HITS = 20_000
_QUERY_WORDS = 64


@dataclass(frozen=True)
class ScopeSize:
    """How large a scope is, counted up to a bound."""

    rows: int
    mean_length: float
    """Mean number of lexemes of a memory."""


@dataclass(frozen=True, slots=True)
class Found:
    """A candidate with its raw scores. Its memory is read out of the row only when asked for."""

    row: tuple[Any, ...]

    @property
    def id(self) -> UUID:
        return self.row[0]  # type: ignore[no-any-return]

    @property
    def memory(self) -> Memory:
        return read(self.row)

    @property
    def scores(self) -> tuple[float | None, float]:
        """Cosine similarity (``None``: no embedding) and BM25."""
        return self.row[MEMORY_WIDTH], self.row[MEMORY_WIDTH + 1]

    @property
    def turn(self) -> tuple[str | None, int | None]:
        """Thread and place in it."""
        return self.row[MEMORY_WIDTH + 2], self.row[MEMORY_WIDTH + 3]

    @property
    def speaker(self) -> str | None:
        return self.row[MEMORY_WIDTH + 4]  # type: ignore[no-any-return]

    @property
    def entity_keys(self) -> list[str]:
        """Which of the query's entities it mentions."""
        return self.row[MEMORY_WIDTH + 5] or []


async def measure(database: Database, scope: Scope, bound: int) -> ScopeSize:
    """Count a scope's memories, no further than ``bound``."""
    where = scope_condition(scope, "m")
    async with database.transaction(scope.project) as conn:
        cursor = await conn.execute(
            sql.SQL(
                """SELECT count(*), coalesce(avg(length(lexemes)), 1)::float FROM (
                       SELECT m.lexemes FROM memory_versions m
                       WHERE {where} AND m.recorded_to IS NULL AND m.state = 'active' LIMIT %(bound)s) scope"""
            ).format(where=where.clause),
            {**where.parameters, "bound": bound},
        )
    row = await cursor.fetchone()
    assert row is not None
    return ScopeSize(*row)


async def candidates(
    database: Database,
    generation: Generation,
    scope: Scope,
    *,
    query: str,
    embedding: npt.NDArray[np.float32],
    entity_keys: Sequence[str],
    named: Sequence[UUID],
    size: ScopeSize,
    approximate: bool,
    filters: Sequence[Condition] = (),
    as_of: datetime | None = None,
) -> list[Found]:
    """Everything worth ranking for a query, unordered.

    ``named`` are ids from elsewhere (the graph): they are looked up here, under the scope, and those that are not
    its living memories fall away. ``approximate`` lets the project's HNSW index put the nearest forward.
    """
    statement, parameters = _statement(generation, scope, approximate, filters, as_of)
    parameters |= {
        "vector": vector(generation, embedding),
        "query": query,
        "named": list(named),
        "keys": list(entity_keys),
        "rows": size.rows,
        "mean_length": max(size.mean_length, 1.0),
    }
    async with database.transaction(scope.project) as conn:
        if approximate:
            # Without the iterative scan a filter inside the project would thin out the index's first answers.
            await conn.execute(
                "SELECT set_config('hnsw.iterative_scan', 'strict_order', true), "
                "set_config('hnsw.ef_search', '200', true)"
            )
        cursor = await conn.execute(statement, parameters)
    return [Found(row) for row in await cursor.fetchall()]


def _statement(
    generation: Generation,
    scope: Scope,
    approximate: bool,
    filters: Sequence[Condition],
    as_of: datetime | None,
) -> tuple[sql.Composed, dict[str, Any]]:
    own, when, embedded = scope_condition(scope, "m"), current(as_of), scope_condition(scope, "e")
    parameters = {**own.parameters, **when.parameters}
    for condition in filters:
        parameters.update(condition.parameters)
    inside = sql.SQL(" AND ").join([own.clause, when.clause, *(f.clause for f in filters)])
    return (
        sql.SQL(_CANDIDATES).format(
            near=_near(generation, scope, approximate, embedded.clause, inside if filters or as_of else None),
            cosine=sql.SQL("1 - (e.embedding <=> %(vector)s)") if approximate else sql.SQL("near.cosine"),
            embedding=sql.SQL(
                "LEFT JOIN {} e ON e.project = m.project AND e.memory_id = m.id AND e.version = m.version"
            ).format(generation.table)
            if approximate
            else sql.SQL("LEFT JOIN near USING (id)"),
            inside=inside,
            columns=MEMORY_COLUMNS,
            pool=sql.Literal(POOL),
            reach=sql.Literal(REACH),
            hits=sql.Literal(_HITS),
            query_words=sql.Literal(_QUERY_WORDS),
        ),
        parameters,
    )


def _near(
    generation: Generation, scope: Scope, approximate: bool, embedded: sql.Composable, joined: sql.Composable | None
) -> sql.Composed:
    """Exact: the cosine of every memory of the scope. Approximate: the nearest, in the order of the index."""
    source = sql.SQL("{} e").format(generation.table)
    where: list[sql.Composable] = [embedded]
    if joined is None:
        where.append(sql.SQL("e.head AND (e.expires_at IS NULL OR e.expires_at > now())"))
    else:
        source = sql.SQL(
            "{} JOIN memory_versions m ON m.project = e.project AND m.id = e.memory_id AND m.version = e.version"
        ).format(source)
        where.append(joined)
    if approximate:
        # As a literal: a generic plan would drop the index that is partial by project.
        where.append(sql.SQL("e.head AND e.project = {}").format(sql.Literal(scope.project)))
    return sql.SQL(
        "SELECT e.memory_id AS id, 1 - (e.embedding <=> %(vector)s) AS cosine FROM {source} WHERE {where} {order}"
    ).format(
        source=source,
        where=sql.SQL(" AND ").join(where),
        order=sql.SQL("ORDER BY e.embedding <=> %(vector)s LIMIT {}").format(sql.Literal(POOL))
        if approximate
        else sql.SQL(""),
    )


# BM25 over the scope: sum over the query's lexemes of idf · saturation(tf) / (0.4 + 0.6 · length/mean length).
# ts_rank of a single lexeme with equal weights grows with tf as BM25's saturation does: 1, 1.25, 1.36, … → 1.64.
_CANDIDATES = """
WITH words AS MATERIALIZED (
    SELECT lexeme, ('''' || replace(replace(lexeme, '\\', '\\\\'), '''', '''''') || '''')::tsquery AS word
    FROM unnest(to_tsvector('english', %(query)s)) LIMIT {query_words}
), near AS MATERIALIZED (
    {near}
), hits AS MATERIALIZED (
    SELECT m.id, m.lexemes FROM memory_versions m
    WHERE {inside} AND m.lexemes @@ (SELECT string_agg(word::text, ' | ')::tsquery FROM words)
    LIMIT {hits}
), matches AS MATERIALIZED (
    SELECT hits.id, words.lexeme,
           ts_rank('{{1,1,1,1}}', hits.lexemes, words.word)
               / (0.4 + 0.6 * length(hits.lexemes) / %(mean_length)s::float) AS weight
    FROM hits JOIN words ON hits.lexemes @@ words.word
), rarity AS (
    SELECT lexeme, ln(1 + (greatest(%(rows)s::float - count(*), 0) + 0.5) / (count(*) + 0.5)) AS idf
    FROM matches GROUP BY lexeme
), spoken AS MATERIALIZED (
    SELECT id, sum(weight * idf)::float AS bm25 FROM matches JOIN rarity USING (lexeme) GROUP BY id
), picked AS MATERIALIZED (
    (SELECT id FROM near ORDER BY cosine DESC LIMIT {pool})
    UNION (SELECT id FROM spoken ORDER BY bm25 DESC LIMIT {pool})
    UNION SELECT unnest(%(named)s::uuid[])
), places AS MATERIALIZED (
    SELECT m.thread, m.turn FROM picked JOIN memory_versions m USING (id)
    WHERE {inside} AND m.thread IS NOT NULL
), around AS (
    SELECT id FROM picked
    UNION
    SELECT n.id FROM places
    JOIN memory_versions n ON n.project = %(project)s AND n.thread = places.thread
                          AND n.turn BETWEEN places.turn - {reach} AND places.turn + {reach}
), mentioned AS MATERIALIZED (
    SELECT memory_id AS id, version, array_agg(entity_key) AS keys FROM mentions
    WHERE project = %(project)s AND entity_key = ANY(%(keys)s::text[]) GROUP BY memory_id, version
)
SELECT {columns}, ({cosine})::float, coalesce(spoken.bm25, 0), m.thread, m.turn, m.speaker, mentioned.keys
FROM around
JOIN memory_versions m USING (id)
{embedding}
LEFT JOIN spoken USING (id)
LEFT JOIN mentioned ON mentioned.id = m.id AND mentioned.version = m.version
WHERE {inside}
"""
