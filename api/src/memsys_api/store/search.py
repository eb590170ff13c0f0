"""Finds what may answer a query: the candidates of one search, in one round trip."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np
import numpy.typing as npt
from psycopg import AsyncCursor, sql
from psycopg.rows import TupleRow

from memsys_api.model import Memory, Scope
from memsys_api.normal_forms import composed, spellings
from memsys_api.store.candidates import Near, Way, build
from memsys_api.store.contents import vector
from memsys_api.store.database import Connection, Database
from memsys_api.store.generations import Generation
from memsys_api.store.rows import MEMORY_COLUMNS, Condition, current, given_ids, read, scope_clause, scope_condition
from memsys_api.store.sizes import ScopeSize


class Found(NamedTuple):
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
    same: bool
    """Whether it is the query, word for word, in any of its spellings."""


async def people(database: Database, project: str, *, bound: int) -> frozenset[str]:
    """Entity keys of the project's people, ``bound`` of them at most."""
    async with database.transaction(project) as conn:
        cursor = await conn.execute(
            """SELECT key FROM entities WHERE project = %s AND kind = 'person' LIMIT %s""", (project, bound)
        )
    return frozenset(row[0] for row in await cursor.fetchall())


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
    way: Way,
    wanted: int,
    filters: Sequence[Condition] = (),
    as_of: datetime | None = None,
    near: Near | None = None,
) -> list[Found]:
    """Everything worth ranking for a query, unordered.

    ``named`` are ids from elsewhere (the graph): they are looked up here, under the scope, and those that are not
    its living memories fall away. With ``near`` an external index has put the nearest forward.
    """
    statement = build(generation, scope, reach=reach, way=way, wanted=wanted, filters=filters, as_of=as_of, near=near)
    parameters = statement.parameters | {
        "vector": vector(generation, embedding),
        "query": composed(query),
        "spellings": spellings(query),
        "named": list(named),
        "rows": size.rows,
        "mean_length": max(size.mean_length, 1.0),
        "common": size.common,
        "shares": size.shares,
    }
    await conn.execute(statement.planning)
    cursor = await conn.execute(statement.text, parameters, binary=True, prepare=statement.repeats or None)
    return [Found._make(row) for row in await cursor.fetchall()]


async def ask_memories(
    conn: Connection,
    scope: Scope,
    ids: Sequence[UUID],
    *,
    filters: Sequence[Condition] = (),
    as_of: datetime | None = None,
) -> AsyncCursor[TupleRow]:
    """Ask for those of the ids that are living memories of the scope, whole; :func:`read_memories` reads them.

    As the last statement of a transaction it needs no round trip of its own: the end of the transaction goes with it.
    """
    parameters: dict[str, Any] = {"ids": list(ids)}
    for condition in (scope_condition(scope, "m"), current(as_of), *filters):
        parameters |= condition.parameters
    shape = given_ids(scope), as_of is not None
    text = _memories(*shape, filters) if filters else _unfiltered_memories(*shape)
    return await conn.execute(text, parameters, binary=True)


async def read_memories(cursor: AsyncCursor[TupleRow]) -> dict[UUID, Memory]:
    """The memories that were asked for, by id; the transaction may be over."""
    return {row[0]: read(row) for row in await cursor.fetchall()}


@cache
def _unfiltered_memories(given: tuple[str, ...], past: bool) -> bytes:
    return _memories(given, past, ())


def _memories(given: tuple[str, ...], past: bool, filters: Sequence[Condition]) -> bytes:
    when = current(datetime.min if past else None)
    where = [scope_clause(given, "m"), when.clause, *(condition.clause for condition in filters)]
    return (
        sql.SQL("SELECT {columns} FROM memory_versions m WHERE {inside} AND m.id = ANY(%(ids)s)")
        .format(columns=MEMORY_COLUMNS, inside=sql.SQL(" AND ").join(where))
        .as_bytes()
    )
