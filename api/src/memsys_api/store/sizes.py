"""How large a scope is, and which words are common in it: what a search needs to know before it searches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import sql

from memsys_api.model import Scope
from memsys_api.store.database import Database
from memsys_api.store.rows import Condition, current, scope_condition

SAMPLE = 2_000
"""Of how many memories a large scope's words are counted."""
_COMMON = 500
_IDS = 2**128


@dataclass(frozen=True)
class ScopeSize:
    """How large a scope is: counted up to a bound, beyond it estimated."""

    rows: int
    mean_length: float
    """Mean number of lexemes of a memory."""
    common: str = "{}"
    """The most common lexemes of a scope beyond the bound. As PostgreSQL writes an array: so it goes back."""
    shares: str = "{}"
    """In what share of its memories each of them occurs, written likewise."""


async def measure(database: Database, scope: Scope, filters: Sequence[Condition] = (), *, bound: int) -> ScopeSize:
    """Count a scope's memories that pass the filters, no further than ``bound``; estimate what goes beyond it.

    Ids are random, so the first by id are a sample; and where the last of ``n`` of them stands in the range of all
    ids tells how many there are, within a few per cent (the k minimum values estimator, Bar-Yossef et al., 2002).
    """
    conditions = [scope_condition(scope, "m"), current(None), *filters]
    where = sql.SQL(" AND ").join(condition.clause for condition in conditions)
    parameters = {name: value for condition in conditions for name, value in condition.parameters.items()}
    async with database.transaction(scope.project) as conn:
        cursor = await conn.execute(sql.SQL(_COUNT).format(where=where), parameters | {"bound": bound})
        counted = await cursor.fetchone()
        assert counted is not None
        if counted[0] < bound:
            return ScopeSize(*counted)
        cursor = await conn.execute(
            sql.SQL(_SAMPLED).format(where=where, common=sql.Literal(_COMMON)), parameters | {"sample": SAMPLE}
        )
        row = await cursor.fetchone()
    if row is None:  # deleted meanwhile
        return ScopeSize(*counted)
    number, last, mean_length, common, shares = row
    rows = max(bound, round(number * _IDS / (last.int + 1))) if number == SAMPLE else bound
    return ScopeSize(rows, mean_length, common, shares)


_COUNT = """
SELECT count(*), coalesce(avg(length(lexemes)), 1)::float
FROM (SELECT m.lexemes FROM memory_versions m WHERE {where} LIMIT %(bound)s) scope
"""
_SAMPLED = """
WITH sample AS MATERIALIZED (
    SELECT m.id, m.lexemes FROM memory_versions m WHERE {where} ORDER BY m.id LIMIT %(sample)s
), sampled AS (
    SELECT count(*)::int AS number, coalesce(avg(length(lexemes)), 1)::float AS mean_length FROM sample
), counted AS (
    SELECT lexeme, count(*) AS memories FROM sample, unnest(tsvector_to_array(lexemes)) AS lexeme
    GROUP BY lexeme ORDER BY memories DESC, lexeme LIMIT {common}
)
SELECT number, id, mean_length, ARRAY(SELECT lexeme FROM counted ORDER BY memories DESC, lexeme)::text,
       ARRAY(SELECT memories::float / number FROM counted ORDER BY memories DESC, lexeme)::text
FROM sample CROSS JOIN sampled ORDER BY id DESC LIMIT 1
"""
