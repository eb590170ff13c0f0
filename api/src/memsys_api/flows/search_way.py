"""Which way a search goes: by comparing a scope whole, or through the indexes."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from memsys_api.model import IndexMode, Scope
from memsys_api.recent import Recent
from memsys_api.store.candidates import POOL, Way
from memsys_api.store.database import Database
from memsys_api.store.rows import Condition
from memsys_api.store.sizes import ScopeSize, measure

_FRESH_SECONDS = 30.0
_GRACE_SECONDS = 600.0  # sizes change slowly, and measuring a large scope takes longer than searching it
_REMEMBERED = 20_000
_STEP = 4.0
"""What coming upon one vector through the index costs, in rows of a scan."""


@dataclass(frozen=True, slots=True)
class _Part:
    """What of a project is measured."""

    scope: Scope
    wanted: str = ""
    """Stands for the filters in comparisons."""
    filters: tuple[Condition, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Chosen:
    """The way of one search, and the size of what it searches."""

    way: Way
    size: ScopeSize


class Chooser:
    """Measures scopes, remembers for a while how large they are, and chooses by that."""

    def __init__(self, database: Database, *, index: IndexMode, exact_rows: int) -> None:
        self._index = index
        self._exact_rows = exact_rows
        self._sizes = Recent(
            partial(_measured, database, exact_rows + 1),
            seconds=_FRESH_SECONDS,
            size=_REMEMBERED,
            grace=_GRACE_SECONDS,
        )

    async def choose(self, scope: Scope, filters: Sequence[Condition], *, past: bool) -> Chosen:
        """The way for a search of a scope through filters; ``past``: as it was at a moment, which no index knows."""
        whole = await self._sizes.get(_Part(scope))
        if past or self._index == "exact" or (self._index == "auto" and whole.rows <= self._exact_rows):
            return Chosen("scan", whole)
        if self._index == "hnsw" and not filters:
            return Chosen("indexes", whole)
        wanted = " ".join(f"{condition.clause.as_string()} {condition.parameters}" for condition in filters)
        size, project = await asyncio.gather(
            self._sizes.get(_Part(scope, wanted, tuple(filters))), self._sizes.get(_Part(Scope(scope.project)))
        )
        if size.rows > worth_indexes(project.rows, self._exact_rows):
            return Chosen("indexes", size)
        return Chosen("filtered" if filters else "scan", size)


async def _measured(database: Database, bound: int, part: _Part) -> ScopeSize:
    return await measure(database, part.scope, part.filters, bound=bound)


def worth_indexes(project_rows: int, exact_rows: int) -> float:
    """Of how many rows a scope must be for the indexes to be the shorter way, in a project of so many.

    The index holds the whole project: before it has come upon enough of a scope's vectors, it goes through
    ``POOL * project / scope`` of them, while a scan compares as many as the scope has. They cost the same where the
    scope is the root of ``POOL * step * project``.
    """
    return max(float(exact_rows), math.sqrt(POOL * _STEP * project_rows))
