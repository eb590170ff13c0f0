"""What a projection is made from: the newest state of memories with all that was extracted from them."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from psycopg import sql

from memsys_api.model import Entity, Extraction, Relation, SinkRecord
from memsys_api.store.database import Database
from memsys_api.store.rows import MEMORY_COLUMNS, read


async def newest(database: Database, project: str, ids: Sequence[UUID]) -> dict[UUID, SinkRecord]:
    """The newest state of these memories, by id; a tombstone for a deleted one, nothing for one that is not there."""
    parameters = {"project": project, "ids": list(ids)}
    async with database.transaction(project) as conn:
        heads = await conn.execute(_HEADS, parameters)
        entities = await conn.execute(
            """SELECT n.memory_id, e.key, e.name, e.kind
               FROM mentions n
               JOIN memory_versions m ON m.project = n.project AND m.id = n.memory_id AND m.version = n.version
               JOIN entities e ON e.project = n.project AND e.key = n.entity_key
               WHERE n.project = %(project)s AND n.memory_id = ANY(%(ids)s) AND m.recorded_to IS NULL
               ORDER BY e.key""",
            parameters,
        )
        relations = await conn.execute(
            """SELECT memory_id, subject_key, predicate, object_key, valid_from, valid_to FROM relations
               WHERE project = %(project)s AND memory_id = ANY(%(ids)s) AND recorded_to IS NULL
               ORDER BY memory_id, ordinal""",
            parameters,
        )
    mentioned: dict[UUID, list[Entity]] = {}
    for memory_id, *entity in await entities.fetchall():
        mentioned.setdefault(memory_id, []).append(Entity(*entity))
    stated: dict[UUID, list[Relation]] = {}
    for memory_id, *relation in await relations.fetchall():
        stated.setdefault(memory_id, []).append(Relation(*relation))
    found = {}
    for row in await heads.fetchall():
        memory = read(row)
        extraction = Extraction(tuple(mentioned.get(memory.id, ())), tuple(stated.get(memory.id, ())))
        deleted = row[-1] == "deleted"
        found[memory.id] = SinkRecord(
            project, memory.id, memory.version, None if deleted else memory, Extraction() if deleted else extraction
        )
    return found


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


async def projects(database: Database) -> list[str]:
    """The names of all projects that were ever written to."""
    async with database.system() as conn:
        cursor = await conn.execute("SELECT name FROM projects ORDER BY name")
    return [row[0] for row in await cursor.fetchall()]


_HEADS = sql.SQL(
    "SELECT {columns}, m.state FROM memory_versions m "
    "WHERE m.project = %(project)s AND m.id = ANY(%(ids)s) AND m.recorded_to IS NULL"
).format(columns=MEMORY_COLUMNS)
