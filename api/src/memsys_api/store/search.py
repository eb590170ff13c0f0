"""Finds what may answer a query: the candidates of one search, in one round trip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import numpy as np
import numpy.typing as npt
from psycopg import sql

from memsys_api.model import Memory, Scope
from memsys_api.store.candidates import APPROXIMATE_PLANNING, EXACT_PLANNING, Near, build
from memsys_api.store.contents import vector
from memsys_api.store.database import Connection, Database
from memsys_api.store.generations import Generation
from memsys_api.store.rows import MEMORY_COLUMNS, Condition, current, read, scope_condition


@dataclass(frozen=True)
class ScopeSize:
    """How large a scope is, counted up to a bound."""

    rows: int
    mean_length: float
    """Mean number of lexemes of a memory."""


@dataclass(frozen=True, slots=True)
class Found:
    """What ranking needs to know of a candidate."""

    id: UUID
    event_time: datetime
    cosine: float | None
    """Cosine similarity; ``None``: it has no embedding."""
    coverage: float
    """Of the query's words, about 0..1."""
    thread: str | None
    turn: int | None
    """Place in the thread."""
    speaker: str | None
    asks: bool
    """Whether it ends in a question mark."""


async def people(database: Database, project: str, *, bound: int) -> frozenset[str]:
    """Entity keys of the project's people, ``bound`` of them at most."""
    async with database.transaction(project) as conn:
        cursor = await conn.execute(
            """SELECT key FROM entities WHERE project = %s AND kind = 'person' LIMIT %s""", (project, bound)
        )
    return frozenset(row[0] for row in await cursor.fetchall())


async def measure(database: Database, scope: Scope, *, bound: int) -> ScopeSize:
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
    conn: Connection,
    generation: Generation,
    scope: Scope,
    *,
    query: str,
    embedding: npt.NDArray[np.float32],
    named: Sequence[UUID],
    size: ScopeSize,
    reach: int,
    approximate: bool,
    filters: Sequence[Condition] = (),
    as_of: datetime | None = None,
    near: Near | None = None,
) -> list[Found]:
    """Everything worth ranking for a query, unordered.

    ``named`` are ids from elsewhere (the graph): they are looked up here, under the scope, and those that are not
    its living memories fall away. ``approximate`` lets the project's HNSW index put the nearest forward; ``near`` has
    an external one done so.
    """
    statement, parameters = build(
        generation, scope, reach=reach, approximate=approximate, filters=filters, as_of=as_of, near=near
    )
    parameters |= {
        "vector": vector(generation, embedding),
        "query": query,
        "named": list(named),
        "rows": size.rows,
        "mean_length": max(size.mean_length, 1.0),
    }
    await conn.execute(APPROXIMATE_PLANNING if approximate or near is not None else EXACT_PLANNING)
    # An exact search is one statement for every project: worth preparing the first time it is asked.
    cursor = await conn.execute(statement, parameters, binary=True, prepare=not (approximate or near) or None)
    return [Found(*row) for row in await cursor.fetchall()]


async def memories(
    conn: Connection,
    scope: Scope,
    ids: Sequence[UUID],
    *,
    filters: Sequence[Condition] = (),
    as_of: datetime | None = None,
) -> dict[UUID, Memory]:
    """Those of the ids that are living memories of the scope, whole."""
    where = [scope_condition(scope, "m"), current(as_of), *filters]
    cursor = await conn.execute(
        sql.SQL("SELECT {columns} FROM memory_versions m WHERE {inside} AND m.id = ANY(%(ids)s)").format(
            columns=MEMORY_COLUMNS, inside=sql.SQL(" AND ").join(condition.clause for condition in where)
        ),
        {name: value for condition in where for name, value in condition.parameters.items()} | {"ids": list(ids)},
        binary=True,
    )
    return {row[0]: read(row) for row in await cursor.fetchall()}
