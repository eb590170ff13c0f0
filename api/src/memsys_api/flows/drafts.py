"""From what was said to versions about to be written: embedded, and read for entities and relations.

Happens before any transaction, and beside the event loop where it takes long.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import orjson

from memsys_api import extraction, metrics, retrieval
from memsys_api.inference import fingerprint
from memsys_api.model import UNSPECIFIC, Entity, Extraction, Scope
from memsys_api.normal_forms import composed
from memsys_api.ports import Embedder
from memsys_api.quarantine import detect
from memsys_api.schemas.fields import MAX_INDEXED_BYTES
from memsys_api.store.contents import NewVersion


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What a version will say, without what follows from its text."""

    text: str
    event_time: datetime
    role: str | None = None
    speaker: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    expires_at: datetime | None = None
    extraction: Extraction = field(default_factory=Extraction)
    """What is known beside what the text itself says."""
    extracted: bool = False
    """Whether ``extraction`` is all there is, and nothing is to be read out of the text."""
    id: UUID | None = None
    """Of a memory that there is already."""


async def finished(embedder: Embedder, drafts: Sequence[Draft], *, mark: bool = False) -> list[NewVersion]:
    """Versions ready to be written, in order; ``mark``: what looks suspect says so in its provenance.

    Raises what the embedder raises.
    """
    if not drafts:
        return []
    suspicions = [suspicion(draft) if mark else {} for draft in drafts]
    metrics.QUARANTINE.labels("flagged").inc(sum(map(bool, suspicions)))
    extracted, embeddings = await asyncio.gather(
        asyncio.to_thread(lambda: [_extract(draft) for draft in drafts]),
        embedder.embed([passage(draft.text, draft.speaker) for draft in drafts]),
    )
    return [
        NewVersion(
            id=draft.id or uuid4(),
            text=draft.text,
            hash=text_hash(draft.text),
            fingerprint=fingerprint(draft.text),
            event_time=draft.event_time,
            embedding=embedding,
            extraction=merged(draft.extraction, found),
            role=draft.role,
            speaker=draft.speaker,
            metadata=dict(draft.metadata),
            provenance={**draft.provenance, **suspect},
            expires_at=draft.expires_at,
        )
        for draft, found, embedding, suspect in zip(drafts, extracted, embeddings, suspicions, strict=True)
    ]


def suspicion(draft: Draft) -> dict[str, Any]:
    """What provenance says of a draft that looks suspect."""
    said = (draft.text, draft.role, draft.speaker, draft.metadata, draft.provenance)
    found = detect.inspect(text for part in said for text in detect.texts_of(part))
    return {"quarantine": detect.kinds(found)} if found else {}


def text_hash(text: str) -> str:
    """What a memory's text is compared by: SHA-256, hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def passage(text: str, speaker: str | None) -> str:
    """What of a memory is embedded, composed (NFC): not every model's tokenizer takes off the marks."""
    return retrieval.embedding_text(composed(text), speaker=speaker)


def thread_of(scope: Scope, memories: int) -> str | None:
    """What ties memories together as turns: their run within its whole scope, else the one request.

    Four long ids together do not fit into the index of threads, and are known by their digest there.
    """
    if scope.run_id is not None:
        run = orjson.dumps([scope.user_id, scope.agent_id, scope.app_id, scope.run_id])
        return run.decode() if len(run) <= MAX_INDEXED_BYTES else f"run:{hashlib.sha256(run).hexdigest()}"
    return f"request:{uuid4()}" if memories > 1 else None


def merged(first: Extraction, second: Extraction) -> Extraction:
    """Both together, each entity and relation once; of an entity's two kinds the specific one."""
    entities: dict[str, Entity] = {}
    for entity in (*first.entities, *second.entities):
        known = entities.get(entity.key)
        if known is None or (known.kind == UNSPECIFIC and entity.kind != UNSPECIFIC):
            entities[entity.key] = entity
    stated = {(r.subject, r.predicate, r.object): r for r in reversed((*first.relations, *second.relations))}
    return Extraction(tuple(entities.values()), tuple(reversed(stated.values())))


def _extract(draft: Draft) -> Extraction:
    if draft.extracted:
        return Extraction()
    return extraction.extract(draft.text, speaker=draft.speaker, event_time=draft.event_time)
