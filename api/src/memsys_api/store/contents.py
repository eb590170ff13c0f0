"""What belongs to a version beside its row: its embedding, and the entities and relations read out of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt
from pgvector import HalfVector, Vector
from psycopg import sql

from memsys_api.model import UNSPECIFIC, Entity, Extraction, Relation, Scope
from memsys_api.normal_forms import composed
from memsys_api.store.database import Connection
from memsys_api.store.generations import Generation


@dataclass(frozen=True, kw_only=True)
class NewVersion:
    """One version about to be written. Recorded times are PostgreSQL's own."""

    id: UUID
    text: str
    hash: str
    fingerprint: str
    event_time: datetime
    embedding: npt.NDArray[np.float32]
    extraction: Extraction
    role: str | None = None
    speaker: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    expires_at: datetime | None = None

    @property
    def words(self) -> str:
        """What it is found by, word for word: who says it and what, composed (NFC) as a query is."""
        return composed(self.text if self.speaker is None else f"{self.speaker} {self.text}")


def vector(generation: Generation, row: npt.NDArray[np.float32]) -> HalfVector | Vector:
    """One embedding as the type of its generation's column."""
    return HalfVector(row) if generation.precision == "halfvec" else Vector(row)


async def insert_contents(
    conn: Connection, generation: Generation, scope: Scope, new: Sequence[tuple[NewVersion, int]]
) -> None:
    """Embeddings, entities, mentions and relations of versions just inserted."""
    await insert_embeddings(conn, generation, [(n, version, scope) for n, version in new])
    await insert_extractions(conn, scope.project, new)


async def copy_contents(
    conn: Connection,
    generation: Generation,
    project: str,
    memory_id: UUID,
    version: int,
    expires_at: datetime | None,
) -> None:
    """The same for the version after this one, just inserted, which says the same and expires then."""
    which = {"project": project, "id": memory_id, "version": version, "expires_at": expires_at}
    await conn.execute(
        sql.SQL(
            """
            INSERT INTO {table} (
                project, memory_id, version, user_id, agent_id, app_id, run_id, expires_at, head, embedding)
            SELECT project, memory_id, version + 1, user_id, agent_id, app_id, run_id, %(expires_at)s, true, embedding
            FROM {table} WHERE project = %(project)s AND memory_id = %(id)s AND version = %(version)s
            """
        ).format(table=generation.table),
        which,
    )
    await conn.execute(
        """INSERT INTO mentions (project, memory_id, version, entity_key)
           SELECT project, memory_id, version + 1, entity_key
           FROM mentions WHERE project = %(project)s AND memory_id = %(id)s AND version = %(version)s""",
        which,
    )
    await conn.execute(
        """INSERT INTO relations (project, memory_id, version, ordinal, subject_key, predicate, object_key,
                                  valid_from, valid_to, recorded_from)
           SELECT project, memory_id, version + 1, ordinal, subject_key, predicate, object_key, valid_from, valid_to,
                  now()
           FROM relations WHERE project = %(project)s AND memory_id = %(id)s AND version = %(version)s""",
        which,
    )


async def insert_embeddings(
    conn: Connection, generation: Generation, new: Sequence[tuple[NewVersion, int, Scope]]
) -> None:
    """The embeddings of versions just inserted, as those of heads."""
    await conn.execute(
        sql.SQL(
            """
            INSERT INTO {table} (
                project, memory_id, version, user_id, agent_id, app_id, run_id, expires_at, head, embedding)
            SELECT n.project, n.id, n.version, n.user_id, n.agent_id, n.app_id, n.run_id, n.expires_at, true,
                   n.embedding
            FROM unnest(%(projects)s::text[], %(users)s::text[], %(agents)s::text[], %(apps)s::text[],
                        %(runs)s::text[], %(ids)s::uuid[], %(versions)s::int[], %(expiries)s::timestamptz[],
                        %(embeddings)s::{type}[])
                 AS n(project, user_id, agent_id, app_id, run_id, id, version, expires_at, embedding)
            """
        ).format(table=generation.table, type=generation.type),
        {
            "projects": [scope.project for _, _, scope in new],
            "users": [scope.user_id for _, _, scope in new],
            "agents": [scope.agent_id for _, _, scope in new],
            "apps": [scope.app_id for _, _, scope in new],
            "runs": [scope.run_id for _, _, scope in new],
            "ids": [n.id for n, _, _ in new],
            "versions": [version for _, version, _ in new],
            "expiries": [n.expires_at for n, _, _ in new],
            "embeddings": [vector(generation, n.embedding) for n, _, _ in new],
        },
    )


async def insert_extractions(conn: Connection, project: str, new: Sequence[tuple[NewVersion, int]]) -> None:
    """The entities, mentions and relations of versions just inserted."""
    await insert_entities(conn, project, [n for n, _ in new])
    mentions = [(n.id, v, key) for n, v in new for key in dict.fromkeys(e.key for e in n.extraction.entities)]
    if mentions:
        await conn.execute(
            """INSERT INTO mentions (project, memory_id, version, entity_key)
               SELECT %s, * FROM unnest(%s::uuid[], %s::int[], %s::text[])""",
            (project, *(list(column) for column in zip(*mentions, strict=True))),
        )
    relations = [
        (n.id, v, ordinal, r.subject, r.predicate, r.object, r.valid_from, r.valid_to)
        for n, v in new
        for ordinal, r in enumerate(n.extraction.relations)
    ]
    if relations:
        await conn.execute(
            """INSERT INTO relations (project, memory_id, version, ordinal, subject_key, predicate, object_key,
                                      valid_from, valid_to, recorded_from)
               SELECT %s, r.*, now() FROM unnest(%s::uuid[], %s::int[], %s::int[], %s::text[], %s::text[],
                                                 %s::text[], %s::timestamptz[], %s::timestamptz[]) AS r""",
            (project, *(list(column) for column in zip(*relations, strict=True))),
        )


async def extractions(
    conn: Connection, project: str, stored: Sequence[tuple[UUID, int]]
) -> dict[tuple[UUID, int], Extraction]:
    """What was read out of these versions, by memory and version; names are as they were found, before any merge."""
    columns = [list(column) for column in zip(*stored, strict=True)] or [[], []]
    entities: dict[tuple[UUID, int], list[Entity]] = {}
    cursor = await conn.execute(
        """SELECT n.memory_id, n.version, e.key, e.name, e.kind
           FROM unnest(%s::uuid[], %s::int[]) AS wanted(id, version)
           JOIN mentions n ON n.project = %s AND n.memory_id = wanted.id AND n.version = wanted.version
           JOIN entities e ON e.project = n.project AND e.key = n.entity_key ORDER BY e.key""",
        (*columns, project),
    )
    for memory_id, version, *entity in await cursor.fetchall():
        entities.setdefault((memory_id, version), []).append(Entity(*entity))
    relations: dict[tuple[UUID, int], list[Relation]] = {}
    cursor = await conn.execute(
        """SELECT r.memory_id, r.version, r.subject_key, r.predicate, r.object_key, r.valid_from, r.valid_to
           FROM unnest(%s::uuid[], %s::int[]) AS wanted(id, version)
           JOIN relations r ON r.project = %s AND r.memory_id = wanted.id AND r.version = wanted.version
           ORDER BY r.ordinal""",
        (*columns, project),
    )
    for memory_id, version, *relation in await cursor.fetchall():
        relations.setdefault((memory_id, version), []).append(Relation(*relation))
    return {one: Extraction(tuple(entities.get(one, ())), tuple(relations.get(one, ()))) for one in stored}


async def insert_entities(conn: Connection, project: str, new: Sequence[NewVersion]) -> None:
    """Make known entities that are not; a kind found now takes the place of the unspecific one found before.

    In order of their keys: two transactions that bring the same entities then wait for each other, and never deadlock.
    That holds for one call alone, so what writes versions one after the other calls this first, with all of them.
    An entity that is known is not locked, or the one that everybody speaks of would make all writers queue.
    """
    entities = [entity for version in new for entity in version.extraction.entities]
    # The more specific one of the same key comes last, and stays.
    known = sorted({e.key: e for e in sorted(entities, key=lambda e: e.kind != UNSPECIFIC)}.items())
    if not known:
        return
    columns = [key for key, _ in known], [e.name for _, e in known], [e.kind for _, e in known]
    await conn.execute(
        """INSERT INTO entities (project, key, name, kind)
           SELECT %s, * FROM unnest(%s::text[], %s::text[], %s::text[]) ON CONFLICT DO NOTHING""",
        (project, *columns),
    )
    if any(e.kind != UNSPECIFIC for _, e in known):
        await conn.execute(
            """WITH better AS (
                   SELECT e.key, n.name, n.kind
                   FROM unnest(%s::text[], %s::text[], %s::text[]) AS n(key, name, kind)
                   JOIN entities e ON e.project = %s AND e.key = n.key AND e.kind = %s AND n.kind <> %s
                   ORDER BY e.key FOR UPDATE OF e
               )
               UPDATE entities e SET name = better.name, kind = better.kind, revision = nextval('entity_revisions'),
                                     renamed = true
               FROM better WHERE e.project = %s AND e.key = better.key""",
            (*columns, project, UNSPECIFIC, UNSPECIFIC, project),
        )
