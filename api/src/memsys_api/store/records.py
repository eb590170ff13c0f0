"""What a projection is made from: the newest state of memories with all that was extracted from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from psycopg import sql

from memsys_api.model import EndedRelation, Entity, Extraction, Memory, Relation, SinkRecord
from memsys_api.store import merges
from memsys_api.store.database import Database
from memsys_api.store.rows import MEMORY_COLUMNS, read

_VERSIONS_KEPT = 50
"""Of how many versions the ended relations are projected; a memory changed without end must not grow without end."""


async def newest(database: Database, project: str, ids: Sequence[UUID]) -> dict[UUID, SinkRecord]:
    """The newest state of these memories, by id; a tombstone for a deleted one, nothing for one that is not there.

    Entities are the ones that merged names resolve to. What a memory has stated in earlier versions comes along.
    """
    parameters = {"project": project, "ids": list(ids), "kept": _VERSIONS_KEPT}
    async with database.transaction(project) as conn:
        heads = await conn.execute(_HEADS, parameters)
        mentions = await conn.execute(
            """SELECT n.memory_id, n.entity_key FROM mentions n
               JOIN memory_versions m ON m.project = n.project AND m.id = n.memory_id AND m.version = n.version
               WHERE n.project = %(project)s AND n.memory_id = ANY(%(ids)s) AND m.recorded_to IS NULL
               ORDER BY n.entity_key""",
            parameters,
        )
        relations = await conn.execute(
            """SELECT r.memory_id, r.version, m.recorded_from, m.recorded_to,
                      r.subject_key, r.predicate, r.object_key, r.valid_from, r.valid_to
               FROM relations r
               JOIN memory_versions m ON m.project = r.project AND m.id = r.memory_id AND m.version = r.version
               JOIN memory_versions h ON h.project = r.project AND h.id = r.memory_id AND h.recorded_to IS NULL
               WHERE r.project = %(project)s AND r.memory_id = ANY(%(ids)s) AND r.version > h.version - %(kept)s
               ORDER BY r.memory_id, r.version, r.ordinal""",
            parameters,
        )
        stated = [_Stated(row[0], row[1], row[2], row[3], Relation(*row[4:])) for row in await relations.fetchall()]
        spoken_of = await mentions.fetchall()
        keys = {key for _, key in spoken_of} | {key for one in stated for key in one.ends}
        resolve = await merges.resolved(conn, project, keys)
        cursor = await conn.execute(
            "SELECT key, name, kind, revision FROM entities WHERE project = %s AND key = ANY(%s)",
            (project, sorted({resolve.get(key, key) for key in keys})),
        )
        named = {row[0]: Entity(*row) for row in await cursor.fetchall()}
    mentioned: dict[UUID, set[str]] = {}
    for memory_id, key in spoken_of:
        mentioned.setdefault(memory_id, set()).add(resolve.get(key, key))
    by_memory: dict[UUID, list[_Stated]] = {}
    for one in stated:
        if (resolved := one.resolved(resolve)).makes_sense:
            by_memory.setdefault(one.memory_id, []).append(resolved)
    found = {}
    for row in await heads.fetchall():
        memory = read(row)
        if row[-1] == "deleted":
            found[memory.id] = SinkRecord(project, memory.id, memory.version, None)
        else:
            found[memory.id] = _record(memory, mentioned.get(memory.id, set()), by_memory.get(memory.id, []), named)
    return found


@dataclass(frozen=True)
class _Stated:
    """A relation as one version of a memory stated it."""

    memory_id: UUID
    version: int
    recorded_from: datetime
    recorded_to: datetime | None
    relation: Relation

    @property
    def ends(self) -> tuple[str, str]:
        return self.relation.subject, self.relation.object

    @property
    def makes_sense(self) -> bool:
        """Two names of one entity have no relation to each other."""
        return self.relation.subject != self.relation.object

    def resolved(self, resolve: Mapping[str, str]) -> _Stated:
        subject, target = (resolve.get(key, key) for key in self.ends)
        return replace(self, relation=replace(self.relation, subject=subject, object=target))


def _record(memory: Memory, mentioned: set[str], stated: list[_Stated], named: Mapping[str, Entity]) -> SinkRecord:
    current = [one for one in stated if one.version == memory.version]
    speaks_of = mentioned | {key for one in current for key in one.ends}
    ended = [
        EndedRelation(one.relation, one.version, one.recorded_from, one.recorded_to)
        for one in stated
        if one.recorded_to is not None
    ]
    beside = {key for one in ended for key in (one.relation.subject, one.relation.object)} - speaks_of
    return SinkRecord(
        memory.scope.project,
        memory.id,
        memory.version,
        memory,
        Extraction(_entities(speaks_of, named), tuple(one.relation for one in current)),
        tuple(ended),
        _entities(beside, named),
    )


def _entities(keys: set[str], named: Mapping[str, Entity]) -> tuple[Entity, ...]:
    return tuple(named.get(key) or Entity(key, key) for key in sorted(keys))


async def ids_after(database: Database, project: str, after: UUID | None, limit: int) -> list[UUID]:
    """A project's live memories in order of id, for comparison with a projection."""
    async with database.transaction(project) as conn:
        cursor = await conn.execute(
            """SELECT id FROM memory_versions
               WHERE project = %(project)s AND recorded_to IS NULL AND state = 'active'
                 AND (%(after)s::uuid IS NULL OR id > %(after)s)
               ORDER BY id LIMIT %(limit)s""",
            {"project": project, "after": after, "limit": limit},
        )
    return [row[0] for row in await cursor.fetchall()]


async def heads_after(database: Database, project: str, after: UUID | None, limit: int) -> list[tuple[UUID, int]]:
    """A project's memories in order of id with their newest versions, deleted ones too."""
    async with database.transaction(project) as conn:
        cursor = await conn.execute(
            """SELECT id, version FROM memory_versions
               WHERE project = %(project)s AND recorded_to IS NULL AND (%(after)s::uuid IS NULL OR id > %(after)s)
               ORDER BY id LIMIT %(limit)s""",
            {"project": project, "after": after, "limit": limit},
        )
    return [(row[0], row[1]) for row in await cursor.fetchall()]


async def versions_of(database: Database, project: str, ids: Sequence[UUID]) -> dict[UUID, int]:
    """The newest version of each of these memories that there is, deleted ones too."""
    async with database.transaction(project) as conn:
        cursor = await conn.execute(
            "SELECT id, version FROM memory_versions WHERE project = %s AND id = ANY(%s) AND recorded_to IS NULL",
            (project, list(ids)),
        )
    return dict(await cursor.fetchall())


async def projects(database: Database) -> list[str]:
    """The names of all projects that were ever written to."""
    async with database.system() as conn:
        cursor = await conn.execute("SELECT name FROM projects ORDER BY name")
    return [row[0] for row in await cursor.fetchall()]


_HEADS = sql.SQL(
    "SELECT {columns}, m.state FROM memory_versions m "
    "WHERE m.project = %(project)s AND m.id = ANY(%(ids)s) AND m.recorded_to IS NULL"
).format(columns=MEMORY_COLUMNS)
