"""The statement behind a search. Pure: from a scope to SQL.

The best by vector, the best by words and those the graph named; around each of them its neighbours in the same
thread; every one with its own cosine and coverage, because a neighbour is a candidate like any other.

Two ways lead there. A *scan* reads the scope once and compares all of it. Through the *indexes*, the nearest come in
the order of the vector index, and words from theirs: no step takes longer for a larger scope.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Literal
from uuid import UUID

from psycopg import sql

from memsys_api.model import Scope
from memsys_api.store import index_walk
from memsys_api.store.generations import Generation
from memsys_api.store.rows import Condition, current, given_ids, scope_clause, scope_condition

POOL = 24
"""How many candidates each of vector and words puts forward, at the least; see bench/recall.md."""
BEHIND = 1000
"""How many memories that have yet to reach an external index are compared here meanwhile."""
_EXPECTED_HITS = 1_000
_MOST_HITS = 2_000
_QUERY_WORDS = 64
_TEXTS = 1_000

Way = Literal["scan", "filtered", "indexes"]
"""How candidates are found: by comparing the whole scope, what the filters leave of a scope that is itself too large
for that, or by the indexes."""

# A scan is linear in its scope whatever the plan; joined by hash it stays linear when the planner misjudges how many
# rows a step yields, which it does, as it cannot know how ids and projects go together. So one plan is as good for
# every scope as for any, and planning would cost as much as the search of a small scope.
_SCAN_PLANNING = (
    "SELECT set_config('enable_nestloop', 'off', true), set_config('plan_cache_mode', 'force_generic_plan', true), "
    "set_config('jit', 'off', true)"
)


@dataclass(frozen=True, slots=True)
class Near:
    """What an external index names: a sink, and its memories nearest to the query. Their scores are given here."""

    sink: str
    ids: list[UUID]


@dataclass(frozen=True, slots=True)
class Statement:
    """The one statement of a search, and what is to be said to the planner before it, in the same transaction."""

    text: bytes
    parameters: dict[str, Any]
    """Those that the scope gives."""
    planning: str
    repeats: bool
    """Whether the same text serves many searches, so that it is worth preparing at once."""


def build(
    generation: Generation,
    scope: Scope,
    *,
    reach: int,
    way: Way,
    wanted: int = POOL,
    filters: Sequence[Condition] = (),
    as_of: datetime | None = None,
    near: Near | None = None,
) -> Statement:
    """The statement for a scope.

    ``near`` takes the place of a search by vector, with what its index has yet to be told of.
    ``reach`` is how many turns before and after a candidate are candidates too, ``wanted`` how many answers.
    Still to give: vector, query (composed), its spellings, named (ids), and of the scope rows, mean_length, common
    (lexemes) and their shares.
    """
    given = given_ids(scope)
    parameters: dict[str, Any] = {}
    for condition in (scope_condition(scope, "m"), current(as_of), *filters):
        parameters |= condition.parameters
    if near is not None:
        parameters |= {"near": near.ids, "near_sink": near.sink}
    indexed = near is not None or way == "indexes"
    shape = _Shape(
        generation,
        given,
        scope.project if indexed else None,
        reach,
        way,
        _pool(wanted),
        past=as_of is not None,
        named=near is not None,
    )
    planning = _SCAN_PLANNING
    if indexed:
        planning = index_walk.PLANNING.format("auto" if filters or given else "force_generic_plan")
    text = _text(shape, filters) if filters else _unfiltered(shape)
    return Statement(text, parameters, planning, repeats=not filters)


@dataclass(frozen=True, slots=True)
class _Shape:
    """All that the text of a statement without filters depends on."""

    generation: Generation
    given: tuple[str, ...]
    """Which ids the scope gives, by name."""
    project: str | None
    """The one whose own index is to be used."""
    reach: int
    way: Way
    pool: int
    past: bool
    named: bool


@lru_cache(maxsize=_TEXTS)
def _unfiltered(shape: _Shape) -> bytes:
    return _text(shape, ())


def _text(shape: _Shape, filters: Sequence[Condition]) -> bytes:
    own, embedded = scope_clause(shape.given, "m"), scope_clause(shape.given, "e")
    when = current(datetime.min if shape.past else None).clause
    inside = sql.SQL(" AND ").join([own, when, *(f.clause for f in filters)])
    if shape.named:
        near = _named(shape, embedded)
    elif shape.project is not None:
        near = _nearest(shape, shape.project, embedded, inside if filters else None)
    else:
        near = _compared(shape, embedded)
    parts = {
        "near": near,
        "inside": inside,
        "embeddings": shape.generation.table,
        "pool": sql.Literal(shape.pool),
        "reach": sql.Literal(shape.reach),
        "expected_hits": sql.Literal(_EXPECTED_HITS),
        "most_hits": sql.Literal(_MOST_HITS),
        "query_words": sql.Literal(_QUERY_WORDS),
        "asks": sql.SQL(_ASKS),
        "weight": sql.SQL(_WEIGHT).format(sql.SQL("m")),
        "weight_of_hit": sql.SQL(_WEIGHT).format(sql.SQL("hits")),
    }
    steps = _SCANNED if shape.project is None else _INDEXED
    return sql.SQL("".join(steps)).format(**parts).as_bytes()


def _pool(wanted: int) -> int:
    """As many candidates as answers are wanted; in few sizes, each of which is a statement of its own."""
    pool = POOL
    while pool < wanted:
        pool *= 2
    return pool


def _compared(shape: _Shape, embedded: sql.Composable) -> sql.Composed:
    """The cosine of every vector of the scope, or of what the filters left of it."""
    where = [embedded]
    if not shape.past:
        where.append(sql.SQL("e.head"))
    if shape.way == "filtered":
        where.append(sql.SQL("e.memory_id = ANY (ARRAY(SELECT id FROM scope))"))
    return sql.SQL(
        "SELECT e.memory_id AS id, e.version, 1 - (e.embedding <=> %(vector)s) AS cosine FROM {table} e WHERE {where}"
    ).format(table=shape.generation.table, where=sql.SQL(" AND ").join(where))


def _nearest(shape: _Shape, project: str, embedded: sql.Composable, filters: sql.Composable | None) -> sql.Composed:
    """The nearest, in the order of the index. ``filters`` hold what the vector's table does not.

    A part of the project is looked for among the project's nearest, and compared whole where these hold too few of it.
    """
    parts = {
        "table": shape.generation.table,
        "of_project": index_walk.heads_of(project),
        "embedded": embedded,
        "pool": sql.Literal(shape.pool),
        "passed": index_walk.nearest_of(
            shape.generation,
            project,
            sql.SQL("e.project, e.user_id, e.agent_id, e.app_id, e.run_id, e.memory_id, e.version"),
            sql.SQL("%(vector)s"),
            sql.SQL("%(rows)s::bigint"),
        ),
    }
    if not shape.given and filters is None:
        return sql.SQL(
            "SELECT memory_id AS id FROM {table} e WHERE {of_project} ORDER BY e.embedding <=> %(vector)s LIMIT {pool}"
        ).format(**parts)
    own = scope_clause(shape.given, "passed")
    if filters is not None:
        parts["filtered"] = sql.SQL(" JOIN memory_versions m ON {}").format(index_walk.VERSION_OF.format(sql.SQL("e")))
        parts["inside"] = sql.SQL(" AND {}").format(filters)
        # Looked up one by one: a join might read them all first, or lose the order.
        version = index_walk.VERSION_OF.format(sql.SQL("passed"))
        own = sql.SQL("{} AND (SELECT true FROM memory_versions m WHERE {} AND {})").format(own, version, filters)
    else:
        parts["filtered"] = parts["inside"] = sql.SQL("")
    return sql.SQL(
        """WITH passed AS (
        {passed}
    ), soon AS MATERIALIZED (
        SELECT memory_id AS id FROM passed WHERE {own} LIMIT {pool}
    )
    SELECT id FROM soon WHERE (SELECT count(*) FROM soon) >= {pool}
    UNION ALL (
        SELECT e.memory_id FROM {table} e{filtered} WHERE {embedded} AND {of_project}{inside}
            AND (SELECT count(*) FROM soon) < {pool}
        ORDER BY 1 - (e.embedding <=> %(vector)s) DESC LIMIT {pool})"""
    ).format(own=own, **parts)


def _named(shape: _Shape, embedded: sql.Composable) -> sql.Composed:
    """The nearest of what an index named and of what is on its way there."""
    return sql.SQL(
        """SELECT e.memory_id AS id FROM {table} e
        WHERE {embedded} AND {head}
          AND e.memory_id = ANY (%(near)s::uuid[] || ARRAY(
              SELECT memory_id FROM deliveries WHERE project = %(project)s AND sink = %(near_sink)s LIMIT {behind}))
        ORDER BY e.embedding <=> %(vector)s LIMIT {pool}"""
    ).format(
        table=shape.generation.table,
        embedded=embedded,
        head=index_walk.HEAD,
        behind=sql.Literal(BEHIND),
        pool=sql.Literal(shape.pool),
    )


# BM25 over the scope: the sum over the query's lexemes of idf · saturation(tf) / (0.5 + 0.5 · length/mean length), by
# the sum of all their idf, those that occur nowhere too: how much of what is asked a memory covers, about 0 to 1.
# ts_rank of a single lexeme with equal weights grows with tf as BM25's saturation does: 1, 1.25, 1.36, … → 1.64.
# Rounded at the end, or it would depend on the order of the sum.
_WEIGHT = "ts_rank('{{1,1,1,1}}', {0}.lexemes, word) / (0.5 + 0.5 * length({0}.lexemes) / %(mean_length)s::float)"
_WORDS = r"""
WITH words AS MATERIALIZED (
    SELECT row_number() OVER () AS nr, lexeme,
           ('''' || replace(replace(lexeme, '\', '\\'), '''', '''''') || '''')::tsquery AS word,
           coalesce(share, 0) AS share
    FROM unnest(to_tsvector('english', %(query)s))
         LEFT JOIN unnest(%(common)s::text[], %(shares)s::float[]) AS known(lexeme, share) USING (lexeme)
    LIMIT {query_words}
)"""
# Trimming a text counts its letters, which takes longer than everything else about it; few texts need it.
_ASKS = "(m.text LIKE '%%?%%' AND right(rtrim(m.text), 1) = '?')"
_SPOKEN = """, matches AS MATERIALIZED (
    SELECT hits.id, nr, {weight_of_hit} AS weight FROM hits JOIN words ON hits.lexemes @@ word
), rarity AS MATERIALIZED (
    SELECT nr, word, ln(1 + (greatest(%(rows)s::float - memories, 0) + 0.5) / (memories + 0.5)) AS idf
    FROM (SELECT nr, word, CASE WHEN share > 0 THEN share * %(rows)s::float ELSE coalesce(found, 0) END AS memories
          FROM words LEFT JOIN (SELECT nr, count(*) AS found FROM matches GROUP BY nr) counts USING (nr)) counted
), spoken AS MATERIALIZED (
    SELECT id, (sum(weight * idf) / (SELECT sum(idf) FROM rarity))::float AS coverage
    FROM matches JOIN rarity USING (nr) GROUP BY id
)"""
# One look at the scope, in which everything else is then looked up.
_SCANNED = (
    _WORDS,
    """, scope AS MATERIALIZED (
    SELECT m.id, m.version, m.event_time, m.thread, m.turn, m.speaker, {asks} AS asks,
           m.text = ANY(%(spellings)s) AS same,
           CASE WHEN m.lexemes @@ (SELECT string_agg(word::text, ' | ')::tsquery FROM words) THEN m.lexemes END
               AS lexemes
    FROM memory_versions m WHERE {inside}
), near AS MATERIALIZED (
    {near}
), cosines AS MATERIALIZED (
    SELECT id, cosine FROM scope JOIN near USING (id, version)
), hits AS (
    SELECT id, lexemes FROM scope WHERE lexemes IS NOT NULL
)""",
    _SPOKEN,
    """, picked AS MATERIALIZED (
    (SELECT id FROM cosines ORDER BY cosine DESC LIMIT {pool})
    UNION (SELECT id FROM spoken ORDER BY coverage DESC LIMIT {pool})
    UNION SELECT unnest(%(named)s::uuid[])
), places AS (
    SELECT DISTINCT thread, turn + step AS turn
    FROM picked JOIN scope USING (id) CROSS JOIN generate_series(-{reach}, {reach}) AS step
), chosen AS (
    SELECT id FROM picked UNION SELECT id FROM places JOIN scope USING (thread, turn)
)
SELECT scope.id, event_time, cosine, round(coalesce(coverage, 0)::numeric, 9)::float, thread, turn, speaker, asks,
       same
FROM chosen JOIN scope USING (id) LEFT JOIN cosines USING (id) LEFT JOIN spoken USING (id)
""",
)
# Only so many words are looked for, the rarest first, as can be expected to hit a bounded number of memories; all of
# them count for what was found, by whatever way. What many memories share says little about any of them.
_INDEXED = (
    _WORDS,
    """, near AS MATERIALIZED (
    {near}
), telling AS (
    SELECT string_agg(word::text, ' | ')::tsquery AS words
    FROM (SELECT word, row_number() OVER rarest AS place, sum(share) OVER rarest * %(rows)s::float AS expected
          FROM words WINDOW rarest AS (ORDER BY share, lexeme ROWS UNBOUNDED PRECEDING)) ordered
    WHERE place = 1 OR expected <= {expected_hits}
), hits AS MATERIALIZED (
    SELECT m.id, m.lexemes FROM memory_versions m
    WHERE {inside} AND m.lexemes @@ (SELECT words FROM telling) LIMIT {most_hits}
)""",
    _SPOKEN,
    """, picked AS MATERIALIZED (
    SELECT id FROM near
    UNION (SELECT id FROM spoken ORDER BY coverage DESC LIMIT {pool})
    UNION SELECT unnest(%(named)s::uuid[])
), places AS MATERIALIZED (
    SELECT DISTINCT m.thread, m.turn - {reach} AS first, m.turn + {reach} AS last FROM memory_versions m
    WHERE {inside} AND m.id = ANY (ARRAY(SELECT id FROM picked)) AND m.thread IS NOT NULL
), chosen AS MATERIALIZED (
    SELECT array_agg(id) AS ids FROM (
        SELECT id FROM picked
        UNION SELECT m.id FROM places JOIN memory_versions m
            ON m.thread = places.thread AND m.turn BETWEEN places.first AND places.last
        WHERE m.project = %(project)s) around
)
SELECT m.id, m.event_time,
       (SELECT 1 - (e.embedding <=> %(vector)s) FROM {embeddings} e
        WHERE e.project = %(project)s AND e.memory_id = m.id AND e.version = m.version),
       round(coalesce((SELECT sum({weight} * idf) FROM rarity WHERE m.lexemes @@ word)
                      / (SELECT sum(idf) FROM rarity), 0)::numeric, 9)::float,
       m.thread, m.turn, m.speaker, {asks}, m.text = ANY(%(spellings)s)
FROM memory_versions m
WHERE {inside} AND m.id = ANY ((SELECT ids FROM chosen)::uuid[])
""",
)
