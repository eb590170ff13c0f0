"""The flow of questions about the graph: who is near an entity, how two hang together, what became of one.

Answered by PostgreSQL, which has all of it, at all times and under the scope of the caller: also without a graph store,
and while one is away. See docs/decisions/0040.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise

from memsys_api import extraction
from memsys_api.flows import paths
from memsys_api.model import Memory, Scope
from memsys_api.problems import NOT_FOUND, FieldError, ProblemError
from memsys_api.store import entities, merges
from memsys_api.store.database import Connection, Database
from memsys_api.store.entities import Statement
from memsys_api.store.past import reading

_SECONDS = 3.0
"""No further step is begun after this; what was found until then is answered."""
_STATEMENTS = 2_000


@dataclass(frozen=True)
class When:
    """At which times is asked: as it was recorded at ``as_of``, and as it held in the world at ``valid_at``."""

    as_of: datetime | None = None
    valid_at: datetime | None = None


@dataclass(frozen=True)
class Named:
    """An entity as it resolves."""

    key: str
    name: str
    kind: str


@dataclass(frozen=True)
class Neighbourhood:
    """What is around an entity: others with their distance, and what is stated between all of them."""

    entity: Named
    distances: list[tuple[Named, int]]
    statements: list[Statement]
    complete: bool
    """Whether no bound cut it short."""


@dataclass(frozen=True)
class Ways:
    """How two entities hang together: each way as the entities along it, and what is stated between those."""

    ways: list[list[Named]]
    statements: list[Statement]
    complete: bool


@dataclass(frozen=True)
class Timeline:
    """What became of an entity: memories that mention it and what was stated of it, latest first."""

    entity: Named
    memories: list[Memory]
    statements: list[Statement]


class Explorer:
    """Asks PostgreSQL, step by step, never further than its bounds."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def neighbours(self, scope: Scope, name: str, when: When, *, depth: int, limit: int) -> Neighbourhood:
        """Entities up to ``depth`` statements away, nearest first. Raises a ``not-found`` problem."""
        async with reading(self._database, scope.project, when.as_of) as conn:
            key = await self._known(conn, scope, "entity_key", name, when)
            statements, complete = await self._around(conn, scope, key, when, depth, None)
            away = paths.distances(paths.neighbours(_edges(statements)), key)
            ordered = sorted((steps, other) for other, steps in away.items() if other != key)
            kept = ordered[:limit]
            shown = {key, *(other for _, other in kept)}
            names = await _names(conn, scope, shown, when)
        between = [one for one in statements if one.subject in shown and one.object in shown]
        return Neighbourhood(
            names[key],
            [(names[other], steps) for steps, other in kept],
            _between(between, names),
            complete and len(kept) == len(ordered),
        )

    async def paths(self, scope: Scope, source: str, target: str, when: When, *, depth: int, limit: int) -> Ways:
        """The shortest ways from one entity to another, none when they do not hang together within ``depth``."""
        async with reading(self._database, scope.project, when.as_of) as conn:
            start = await self._known(conn, scope, "from", source, when)
            end = await self._known(conn, scope, "to", target, when)
            statements, complete = await self._around(conn, scope, start, when, depth, end)
            ways = paths.between(_edges(statements), start, end, depth=depth, limit=limit)
            names = await _names(conn, scope, {key for way in ways for key in way}, when)
        steps = {frozenset(step) for way in ways for step in pairwise(way)}
        along = [one for one in statements if frozenset((one.subject, one.object)) in steps]
        return Ways([[names[key] for key in way] for way in ways], _between(along, names), complete)

    async def timeline(self, scope: Scope, name: str, when: When, *, limit: int) -> Timeline:
        """The newest ``limit`` memories that mention an entity, and as much of what was stated of it."""
        async with reading(self._database, scope.project, when.as_of) as conn:
            key = await self._known(conn, scope, "entity_key", name, when)
            names = await merges.names_of(conn, scope.project, [key], when.as_of)
            memories = await entities.mentioning(conn, scope, names, as_of=when.as_of, limit=limit)
            found = await entities.ever_stated(conn, scope, names, as_of=when.as_of, limit=limit)
            statements = await _resolved(conn, scope.project, found, when)
            ends = {end for one in statements for end in (one.subject, one.object)}
            named = await _names(conn, scope, {key, *ends}, when)
        return Timeline(named[key], memories, _between(statements, named))

    async def _known(self, conn: Connection, scope: Scope, field: str, name: str, when: When) -> str:
        """The key that a name resolves to. What no memory of the scope mentions is as good as none.

        By the name itself, where the scope is narrower than the project: that others' memories call an entity so is
        theirs.
        """
        asked = extraction.normalise(name)
        key = (await merges.resolved(conn, scope.project, [asked], when.as_of)).get(asked, asked)
        narrow = scope != Scope(scope.project)
        names = [asked] if narrow else await merges.names_of(conn, scope.project, [key], when.as_of)
        if not await entities.is_spoken_of(conn, scope, names, when.as_of):
            raise ProblemError(
                NOT_FOUND,
                f"{field}: no memory that you may read mentions an entity of this name",
                errors=[FieldError(field, "is not the name of an entity here")],
            )
        return key

    async def _around(
        self, conn: Connection, scope: Scope, start: str, when: When, depth: int, until: str | None
    ) -> tuple[list[Statement], bool]:
        """What is stated within so many steps, ended early at ``until``; and whether no bound was met."""
        ends = time.monotonic() + _SECONDS
        found: dict[tuple[object, ...], Statement] = {}
        seen, frontier = {start}, [start]
        for _ in range(depth):
            if time.monotonic() > ends:
                return list(found.values()), False
            names = await merges.names_of(conn, scope.project, frontier, when.as_of)
            statements = await entities.stated(
                conn, scope, names, as_of=when.as_of, valid_at=when.valid_at, limit=_STATEMENTS + 1
            )
            for one in await _resolved(conn, scope.project, statements, when):
                found[one.memory_id, one.version, one.subject, one.predicate, one.object] = one
            reached = {key for one in found.values() for key in (one.subject, one.object)}
            frontier, seen = sorted(reached - seen), seen | reached
            if len(statements) > _STATEMENTS or len(found) > _STATEMENTS:
                return list(found.values()), False
            if not frontier or until in reached:
                break
        return list(found.values()), True


async def _resolved(conn: Connection, project: str, statements: Sequence[Statement], when: When) -> list[Statement]:
    """Statements between what their ends resolve to; none between two names of one entity."""
    keys = {key for one in statements for key in (one.subject, one.object)}
    resolve = await merges.resolved(conn, project, keys, when.as_of)
    resolved = [
        replace(
            one,
            subject=resolve.get(one.subject, one.subject),
            object=resolve.get(one.object, one.object),
            recorded_to=None if when.as_of and one.recorded_to and one.recorded_to > when.as_of else one.recorded_to,
        )
        for one in statements
    ]
    return [one for one in resolved if one.subject != one.object]


async def _names(conn: Connection, scope: Scope, keys: set[str], when: When) -> dict[str, Named]:
    """What entities are called to the scope, by the keys that they resolve to."""
    shown = await entities.shown(conn, scope, keys, when.as_of)
    found = await entities.named(conn, scope.project, sorted(shown.values()))
    return {key: Named(name, *found.get(name, (name, "entity"))) for key, name in shown.items()}


def _between(statements: Sequence[Statement], names: Mapping[str, Named]) -> list[Statement]:
    """Statements between entities as the scope knows them."""
    return [replace(one, subject=names[one.subject].key, object=names[one.object].key) for one in statements]


def _edges(statements: Sequence[Statement]) -> list[paths.Edge]:
    return [paths.Edge(one.subject, one.object) for one in statements]
