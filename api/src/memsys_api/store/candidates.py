"""The statement behind a search. Pure: from a scope to SQL.

The best by vector, the best by words and those the graph named; around each of them its neighbours in the same
thread; every one with its own cosine and coverage, because a neighbour is a candidate like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import sql

from memsys_api.model import Scope
from memsys_api.store.generations import Generation
from memsys_api.store.rows import Condition, current, scope_condition

POOL = 50
"""How many candidates each of vector and words puts forward."""
BEHIND = 1000
"""How many memories that have yet to reach an external index are compared here meanwhile."""
_HITS = 20_000
_QUERY_WORDS = 64

# An exact search is linear in its scope whatever the plan; joined by hash it stays linear when the planner
# misjudges how many rows a step yields, which it does, as it cannot know how ids and projects go together. So one
# plan is as good for every scope as for any, and planning would cost as much as the search of a small scope.
EXACT_PLANNING = (
    "SELECT set_config('enable_nestloop', 'off', true), set_config('plan_cache_mode', 'force_generic_plan', true), "
    "set_config('jit', 'off', true)"
)
# Without the iterative scan a filter inside the project would thin out the index's first answers.
APPROXIMATE_PLANNING = (
    "SELECT set_config('hnsw.iterative_scan', 'strict_order', true), set_config('hnsw.ef_search', '200', true), "
    "set_config('jit', 'off', true)"
)


@dataclass(frozen=True, slots=True)
class Near:
    """What an external index names: a sink, and its memories nearest to the query. Their scores are given here."""

    sink: str
    ids: list[UUID]


def build(
    generation: Generation,
    scope: Scope,
    *,
    reach: int,
    approximate: bool,
    filters: Sequence[Condition] = (),
    as_of: datetime | None = None,
    near: Near | None = None,
) -> tuple[sql.Composed, dict[str, Any]]:
    """The statement and those of its parameters that the scope gives.

    ``near`` takes the place of a search by vector, with what its index has yet to be told of.
    ``reach`` is how many turns before and after a candidate are candidates too.
    Still to give: vector, query, named (ids), rows and mean_length (of the scope).
    """
    own, when, embedded = scope_condition(scope, "m"), current(as_of), scope_condition(scope, "e")
    parameters = {**own.parameters, **when.parameters}
    for condition in filters:
        parameters.update(condition.parameters)
    if near is not None:
        parameters |= {"near": near.ids, "near_sink": near.sink}
    inside = sql.SQL(" AND ").join([own.clause, when.clause, *(f.clause for f in filters)])
    parts = {
        "near": _named(generation, embedded.clause)
        if near is not None
        else _near(generation, scope, approximate, embedded.clause, inside if filters or as_of else None),
        "inside": inside,
        "embeddings": generation.table,
        "pool": sql.Literal(POOL),
        "reach": sql.Literal(reach),
        "hits": sql.Literal(_HITS),
        "query_words": sql.Literal(_QUERY_WORDS),
    }
    template = _PICKED + (_INDEXED if approximate or near is not None else _SCANNED) + _ANSWER
    return sql.SQL(template).format(**parts), parameters


def _near(
    generation: Generation, scope: Scope, approximate: bool, embedded: sql.Composable, joined: sql.Composable | None
) -> sql.Composed:
    """Exact: the cosine of every memory of the scope. Approximate: the nearest, in the order of the index.

    ``joined`` holds what the vector's table does not: metadata filters, or which version held at a moment.
    """
    source = sql.SQL("{} e").format(generation.table)
    where: list[sql.Composable] = [embedded]
    if joined is None:
        where.append(sql.SQL("e.head AND (e.expires_at IS NULL OR e.expires_at > now())"))
    else:
        source = sql.SQL(
            "{} JOIN memory_versions m ON m.project = e.project AND m.id = e.memory_id AND m.version = e.version"
        ).format(source)
        where.append(joined)
    order: sql.Composable = sql.SQL("")
    if approximate:
        # As a literal: a generic plan would drop the index that is partial by project.
        where.append(sql.SQL("e.head AND e.project = {}").format(sql.Literal(scope.project)))
        order = sql.SQL("ORDER BY e.embedding <=> %(vector)s LIMIT {}").format(sql.Literal(POOL))
    return sql.SQL(
        "SELECT e.memory_id AS id, 1 - (e.embedding <=> %(vector)s) AS cosine FROM {source} WHERE {where} {order}"
    ).format(source=source, where=sql.SQL(" AND ").join(where), order=order)


def _named(generation: Generation, embedded: sql.Composable) -> sql.Composed:
    """The cosines of what an index named, and of what is on its way there."""
    return sql.SQL(
        """SELECT e.memory_id AS id, 1 - (e.embedding <=> %(vector)s) AS cosine FROM {table} e
        WHERE {embedded} AND e.head AND (e.expires_at IS NULL OR e.expires_at > now())
          AND e.memory_id = ANY (%(near)s::uuid[] || ARRAY(
              SELECT memory_id FROM deliveries WHERE project = %(project)s AND sink = %(near_sink)s LIMIT {behind}))"""
    ).format(table=generation.table, embedded=embedded, behind=sql.Literal(BEHIND))


# BM25 over the scope: the sum over the query's lexemes of idf · saturation(tf) / (0.5 + 0.5 · length/mean length), by
# the sum of all their idf, those that occur nowhere too: how much of what is asked a memory covers, about 0 to 1.
# ts_rank of a single lexeme with equal weights grows with tf as BM25's saturation does: 1, 1.25, 1.36, … → 1.64.
_PICKED = r"""
WITH words AS MATERIALIZED (
    SELECT lexeme, ('''' || replace(replace(lexeme, '\', '\\'), '''', '''''') || '''')::tsquery AS word
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
               / (0.5 + 0.5 * length(hits.lexemes) / %(mean_length)s::float) AS weight
    FROM hits JOIN words ON hits.lexemes @@ words.word
), rarity AS MATERIALIZED (
    SELECT lexeme, ln(1 + (greatest(%(rows)s::float - count(id), 0) + 0.5) / (count(id) + 0.5)) AS idf
    FROM words LEFT JOIN matches USING (lexeme) GROUP BY lexeme
), spoken AS MATERIALIZED (
    SELECT id, (sum(weight * idf) / (SELECT sum(idf) FROM rarity))::float AS coverage
    FROM matches JOIN rarity USING (lexeme) GROUP BY id
), picked AS MATERIALIZED (
    (SELECT id FROM near ORDER BY cosine DESC LIMIT {pool})
    UNION (SELECT id FROM spoken ORDER BY coverage DESC LIMIT {pool})
    UNION SELECT unnest(%(named)s::uuid[])
)"""

# The neighbours of what was picked, out of one more look at the scope; and the cosines already at hand.
_SCANNED = """, scope AS MATERIALIZED (
    SELECT m.id, m.thread, m.turn FROM memory_versions m WHERE {inside}
), places AS (
    SELECT DISTINCT thread, turn + step AS turn
    FROM picked JOIN scope USING (id) CROSS JOIN generate_series(-{reach}, {reach}) AS step
), around AS (
    SELECT id FROM picked UNION SELECT id FROM places JOIN scope USING (thread, turn)
), chosen AS MATERIALIZED (
    SELECT array_agg(id) AS ids FROM around
), cosines AS (
    SELECT id, cosine FROM near
)"""
# The same where the scope is too large to look at: each neighbour by its place in the index.
_INDEXED = """, places AS MATERIALIZED (
    SELECT DISTINCT m.thread, m.turn + step AS turn
    FROM memory_versions m CROSS JOIN generate_series(-{reach}, {reach}) AS step
    WHERE {inside} AND m.id = ANY (ARRAY(SELECT id FROM picked)) AND m.thread IS NOT NULL
), around AS (
    SELECT id FROM picked
    UNION SELECT m.id FROM places JOIN memory_versions m USING (thread, turn) WHERE m.project = %(project)s
), chosen AS MATERIALIZED (
    SELECT array_agg(id) AS ids FROM around
), cosines AS (
    SELECT e.memory_id AS id, 1 - (e.embedding <=> %(vector)s) AS cosine FROM {embeddings} e
    WHERE e.project = %(project)s AND e.head AND e.memory_id = ANY ((SELECT ids FROM chosen)::uuid[])
)"""

_ANSWER = """
SELECT m.id, m.event_time, cosines.cosine, coalesce(spoken.coverage, 0), m.thread, m.turn, m.speaker,
       right(rtrim(m.text), 1) = '?'
FROM memory_versions m
LEFT JOIN cosines USING (id)
LEFT JOIN spoken USING (id)
WHERE {inside} AND m.id = ANY ((SELECT ids FROM chosen)::uuid[])
"""
