"""Finds what may answer a query: the candidates of one search, in one round trip."""

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
from memsys_api.store.candidates import APPROXIMATE_PLANNING, EXACT_PLANNING, build
from memsys_api.store.contents import vector
from memsys_api.store.database import Database
from memsys_api.store.generations import Generation
from memsys_api.store.rows import EVENT_TIME, MEMORY_WIDTH, TEXT, Condition, read, scope_condition


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
    def text(self) -> str:
        return self.row[TEXT]  # type: ignore[no-any-return]

    @property
    def event_time(self) -> datetime:
        return self.row[EVENT_TIME]  # type: ignore[no-any-return]

    @property
    def memory(self) -> Memory:
        return read(self.row)

    @property
    def scores(self) -> tuple[float | None, float]:
        """Cosine similarity (``None``: no embedding) and coverage of the query's words, about 0..1."""
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


async def known_people(database: Database, project: str, keys: Sequence[str]) -> list[str]:
    """Which of these entity keys are people of the project."""
    async with database.transaction(project) as conn:
        cursor = await conn.execute(
            "SELECT key FROM entities WHERE project = %s AND key = ANY(%s) AND kind = 'person'", (project, list(keys))
        )
    return [row[0] for row in await cursor.fetchall()]


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
    reach: int,
    approximate: bool,
    filters: Sequence[Condition] = (),
    as_of: datetime | None = None,
) -> list[Found]:
    """Everything worth ranking for a query, unordered.

    ``named`` are ids from elsewhere (the graph): they are looked up here, under the scope, and those that are not
    its living memories fall away. ``approximate`` lets the project's HNSW index put the nearest forward.
    """
    statement, parameters = build(generation, scope, reach=reach, approximate=approximate, filters=filters, as_of=as_of)
    parameters |= {
        "vector": vector(generation, embedding),
        "query": query,
        "named": list(named),
        "keys": list(entity_keys),
        "rows": size.rows,
        "mean_length": max(size.mean_length, 1.0),
    }
    async with database.transaction(scope.project) as conn:
        await conn.execute(APPROXIMATE_PLANNING if approximate else EXACT_PLANNING)
        cursor = await conn.execute(statement, parameters, binary=True)
    return [Found(row) for row in await cursor.fetchall()]
