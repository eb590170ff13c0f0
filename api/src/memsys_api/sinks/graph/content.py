"""What the graph holds of a memory: as parameters for the statements, and as a hash to compare stores by. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from memsys_api.model import Entity, Extraction, Relation, SinkRecord

Row = dict[str, Any]


def content_hash(text: str, extraction: Extraction) -> str:
    """Return the same 32 hex digits for the same content, whichever store it was read from.

    Covers the text, the keys of all entities (those at the ends of relations among them) and the relations with
    their valid time. Names and kinds of entities are left out: they are shared by all memories of a project.
    """
    return _digest(
        text,
        (entity.key for entity in mentioned(extraction)),
        (
            (relation.subject, relation.predicate, relation.object, relation.valid_from, relation.valid_to)
            for relation in extraction.relations
        ),
    )


def stored_hash(text: str, keys: Iterable[str], relations: Iterable[Row]) -> str:
    """Return :func:`content_hash` of what was read back from the graph."""
    return _digest(
        text,
        keys,
        (
            (row["subject"], row["predicate"], row["object"], _native(row["valid_from"]), _native(row["valid_to"]))
            for row in relations
        ),
    )


def mentioned(extraction: Extraction) -> list[Entity]:
    """Return the entities of an extraction, each key once, and the ends of relations that it does not list."""
    entities = {entity.key: entity for entity in reversed(extraction.entities)}
    for relation in extraction.relations:
        for key in (relation.subject, relation.object):
            entities.setdefault(key, Entity(key=key, name=key))
    return list(entities.values())


def memory_rows(records: Iterable[SinkRecord]) -> list[Row]:
    """Return one row for each living memory: its identity and the properties of its node."""
    return [
        {
            "project": record.project,
            "id": str(record.id),
            "properties": {
                "project": record.project,
                "id": str(record.id),
                "version": record.version,
                "text": record.memory.text,
                "event_time": record.memory.event_time,
                "user_id": record.memory.scope.user_id,
                "agent_id": record.memory.scope.agent_id,
                "app_id": record.memory.scope.app_id,
                "run_id": record.memory.scope.run_id,
            },
        }
        for record in records
        if record.memory is not None
    ]


def mention_rows(records: Iterable[SinkRecord]) -> list[Row]:
    """Return one row for each entity that a memory mentions."""
    return [
        {
            "project": record.project,
            "id": str(record.id),
            "key": entity.key,
            "name": entity.name,
            "kind": entity.kind,
            "precedence": precedence(entity),
        }
        for record in records
        if record.memory is not None
        for entity in mentioned(record.extraction)
    ]


def name_rows(records: Iterable[SinkRecord]) -> list[Row]:
    """Return, for each entity that the records mention, the mention whose name goes before the others'."""
    best: dict[tuple[str, str], Row] = {}
    for row in mention_rows(records):
        held = best.get((row["project"], row["key"]))
        if held is None or row["precedence"] > held["precedence"]:
            best[row["project"], row["key"]] = row
    return list(best.values())


def relation_rows(records: Iterable[SinkRecord]) -> list[Row]:
    """Return one row for each relation that a memory states."""
    return [
        {
            "project": record.project,
            "subject": relation.subject,
            "object": relation.object,
            "properties": _relation_properties(record, relation),
        }
        for record in records
        if record.memory is not None
        for relation in dict.fromkeys(record.extraction.relations)
    ]


def identity_rows(records: Iterable[SinkRecord]) -> list[Row]:
    """Return project, id and version of each record."""
    return [{"project": record.project, "id": str(record.id), "version": record.version} for record in records]


def newest(records: Iterable[SinkRecord]) -> list[SinkRecord]:
    """Return the newest record of each memory, ordered by identity."""
    best: dict[tuple[str, UUID], SinkRecord] = {}
    for record in records:
        held = best.get((record.project, record.id))
        if held is None or record.version > held.version:
            best[record.project, record.id] = record
    return [best[identity] for identity in sorted(best)]


def precedence(entity: Entity) -> str:
    """Return what decides, when memories name an entity differently, whose name and kind it shows: the greatest.

    A kind that says something goes before "entity"; the rest is only there to be the same in any order of writing.
    """
    return f"{int(entity.kind != 'entity')}\t{entity.kind}\t{entity.name}"


def _relation_properties(record: SinkRecord, relation: Relation) -> Row:
    assert record.memory is not None
    return {
        "project": record.project,
        "memory_id": str(record.id),
        "version": record.version,
        "predicate": relation.predicate,
        "valid_from": relation.valid_from,
        "valid_to": relation.valid_to,
        "recorded_from": record.memory.updated_at,
        "recorded_to": None,
    }


Statement = tuple[str, str, str, datetime | None, datetime | None]


def _digest(text: str, keys: Iterable[str], relations: Iterable[Statement]) -> str:
    content = [
        text,
        sorted(set(keys)),
        sorted(
            {
                (subject, predicate, object_, _time(start), _time(end))
                for subject, predicate, object_, start, end in relations
            }
        ),
    ]
    encoded = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(encoded, digest_size=16).hexdigest()


def _time(value: datetime | None) -> str:
    return value.astimezone(UTC).isoformat(timespec="microseconds") if value else ""


def _native(value: Any) -> datetime | None:
    """A time as the driver reads it, as Python's."""
    native: datetime | None = value.to_native() if hasattr(value, "to_native") else value
    return native
