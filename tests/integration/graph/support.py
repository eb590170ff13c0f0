"""Records to apply, and what a project of the graph holds, for comparison."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import neo4j

from memsys_api.model import EndedRelation, Entity, Extraction, Memory, Relation, Scope, SinkRecord

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
ANY_NEO4J = {"NEO4J_URI": "bolt://unused:7687", "NEO4J_PASSWORD": "unused"}
"""Settings of a replica that is given its sink."""


def record(
    project: str,
    number: int,
    version: int = 1,
    *,
    entities: Sequence[Entity | str] = (),
    relations: Sequence[Relation] = (),
    ended: Sequence[EndedRelation] = (),
    beside: Sequence[Entity] = (),
    text: str | None = None,
    deleted: bool = False,
    **ids: str,
) -> SinkRecord:
    """Return version ``version`` of memory ``number``; entities given as strings are their own key."""
    identity = UUID(int=number + 1)
    if deleted:
        return SinkRecord(project, identity, version, None)
    memory = Memory(
        id=identity,
        scope=Scope(project, **ids),
        version=version,
        text=text or f"memory {number} at version {version}",
        hash="",
        event_time=NOON,
        created_at=NOON,
        updated_at=NOON,
    )
    named = tuple(Entity(entity, entity.title()) if isinstance(entity, str) else entity for entity in entities)
    return SinkRecord(
        project, identity, version, memory, Extraction(named, tuple(relations)), tuple(ended), tuple(beside)
    )


def snapshot(server: Any, project: str) -> dict[str, list[tuple[Any, ...]]]:
    """Return everything that the graph holds of a project, read with plain statements of its own."""
    questions = {
        "memories": "MATCH (m:Memory {project: $p}) RETURN m.id, m.version, m.text, m.user_id",
        "entities": "MATCH (e:Entity {project: $p}) RETURN e.key, e.name, e.kind",
        "tombstones": "MATCH (t:Tombstone {project: $p}) RETURN t.id, t.version",
        "mentions": "MATCH (m:Memory {project: $p})-[:MENTIONS]->(e) RETURN m.id, e.key",
        "relations": "MATCH (s:Entity {project: $p})-[r:RELATES]->(o) "
        "RETURN s.key, r.predicate, o.key, r.memory_id, r.version, toString(r.valid_from), toString(r.recorded_to)",
    }
    with neo4j.GraphDatabase.driver(server.uri, auth=(server.user, server.password)) as driver:
        return {
            name: sorted(tuple(row.values()) for row in driver.execute_query(question, p=project).records)
            for name, question in questions.items()
        }
