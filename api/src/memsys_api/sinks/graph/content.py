"""What the graph holds of a memory: as parameters for the statements, and as a hash to compare stores by. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from memsys_api.model import Entity, Extraction, SinkRecord

Row = dict[str, Any]

SCOPE = ("user_id", "agent_id", "app_id", "run_id")
RELATION = ("version", "predicate", "valid_from", "valid_to", "recorded_from", "recorded_to")


def content_hash(record: SinkRecord) -> str:
    """Return the same 32 hex digits for the same content, whichever store it was read from.

    Covers everything that the graph holds of a living memory but its version: the properties of its node, whom it
    mentions, what it states and stated, and the names and kinds of all entities that it speaks of.
    """
    [memory], entities = memory_rows([record]), entity_rows([record])
    return _digest(memory, entities, [row["key"] for row in mention_rows([record])], relation_rows([record]))


def stored_hash(memory: Row, relations: Sequence[Row]) -> str:
    """Return :func:`content_hash` of what ``cypher.READ`` and ``cypher.READ_RELATIONS`` read back of a memory."""
    mentioned = [entity for entity in memory["mentioned"] if entity["key"] is not None]
    ends = [row[end] for row in relations for end in ("subject", "object")]
    stated = [{**row, "subject": row["subject"]["key"], "object": row["object"]["key"]} for row in relations]
    entities = {entity["key"]: entity for entity in (*mentioned, *ends)}
    return _digest(memory, entities.values(), [entity["key"] for entity in mentioned], stated)


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
            "version": record.version,
            "text": record.memory.text,
            "event_time": record.memory.event_time,
            **{name: getattr(record.memory.scope, name) for name in SCOPE},
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
            "revision": entity.revision,
        }
        for record in records
        if record.memory is not None
        for entity in mentioned(record.extraction)
    ]


def entity_rows(records: Iterable[SinkRecord]) -> list[Row]:
    """Return the entities that the records speak of, each once under its newest name, in one order for all writers."""
    best: dict[tuple[str, str], Entity] = {}
    for record in records:
        for entity in (*mentioned(record.extraction), *record.beside) if record.memory else ():
            held = best.get((record.project, entity.key))
            if held is None or entity.revision > held.revision:
                best[record.project, entity.key] = entity
    return [
        {"project": project, "key": key, "name": entity.name, "kind": entity.kind, "revision": entity.revision}
        for (project, key), entity in sorted(best.items())
    ]


def relation_rows(records: Iterable[SinkRecord]) -> list[Row]:
    """Return one row for each relation that a memory states or, in earlier versions, has stated."""
    rows = []
    for record in records:
        if record.memory is None:
            continue
        stated = [
            (relation, record.version, record.memory.updated_at, None)
            for relation in dict.fromkeys(record.extraction.relations)
        ]
        ended = [(one.relation, one.version, one.recorded_from, one.recorded_to) for one in dict.fromkeys(record.ended)]
        rows += [
            {
                "project": record.project,
                "memory_id": str(record.id),
                "subject": relation.subject,
                "predicate": relation.predicate,
                "object": relation.object,
                "version": version,
                "valid_from": relation.valid_from,
                "valid_to": relation.valid_to,
                "recorded_from": start,
                "recorded_to": end,
            }
            for relation, version, start, end in (*stated, *ended)
        ]
    return rows


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


def in_utc(value: datetime) -> str:
    """A time as text, such that the order of texts is the order of times."""
    return value.astimezone(UTC).isoformat(timespec="microseconds")


def _digest(memory: Row, entities: Iterable[Row], mentions: Iterable[str], relations: Iterable[Row]) -> str:
    # Lists, not sets: what stands twice in one store differs from what stands once in the other.
    content = [
        [_plain(memory[name]) for name in ("text", "event_time", *SCOPE)],
        sorted([_plain(entity[name]) for name in ("key", "name", "kind")] for entity in entities),
        sorted(mentions),
        sorted([_plain(row[name]) for name in ("subject", "object", *RELATION)] for row in relations),
    ]
    encoded = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(encoded, digest_size=16).hexdigest()


def _plain(value: Any) -> str:
    """A property of either store as text; what is absent is the empty one."""
    native = value.to_native() if hasattr(value, "to_native") else value
    return "" if native is None else in_utc(native) if isinstance(native, datetime) else str(native)
