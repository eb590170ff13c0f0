"""From what was said to versions about to be written: embedded, and read for entities and relations.

Happens before any transaction, and beside the event loop where it takes long.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import orjson

from memsys_api import extraction, metrics, retrieval
from memsys_api.inference import fingerprint
from memsys_api.model import UNSPECIFIC, Entity, Extraction, Scope
from memsys_api.normal_forms import composed
from memsys_api.ports import Embedder, Vectors
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


class _Read(NamedTuple):
    """What follows from what a draft says."""

    extraction: Extraction
    fingerprint: str
    suspicion: dict[str, Any]
    """What its provenance says of it where it looks suspect."""


async def finished(embedder: Embedder, drafts: Sequence[Draft], *, mark: bool = False) -> list[NewVersion]:
    """Versions ready to be written, in order; ``mark``: what looks suspect says so in its provenance.

    Raises what the embedder raises.
    """
    if not drafts:
        return []
    read, embeddings = await asyncio.gather(
        asyncio.to_thread(_read_each, drafts, mark),
        embedded(embedder, [(draft.text, draft.speaker) for draft in drafts]),
    )
    metrics.QUARANTINE.labels("flagged").inc(sum(bool(one.suspicion) for one in read))
    return [
        NewVersion(
            id=draft.id or uuid4(),
            text=draft.text,
            hash=text_hash(draft.text),
            fingerprint=one.fingerprint,
            event_time=draft.event_time,
            embedding=embedding,
            extraction=merged(draft.extraction, one.extraction),
            role=draft.role,
            speaker=draft.speaker,
            metadata=dict(draft.metadata),
            provenance={**draft.provenance, **one.suspicion},
            expires_at=draft.expires_at,
        )
        for draft, one, embedding in zip(drafts, read, embeddings, strict=True)
    ]


def text_hash(text: str) -> str:
    """What a memory's text is compared by: SHA-256, hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


async def embedded(embedder: Embedder, said: Sequence[tuple[str, str | None]]) -> Vectors:
    """The vectors of texts, each with its speaker, as memories. Raises what the embedder raises."""
    return await embedder.embed(await asyncio.to_thread(lambda: [_passage(*one) for one in said]))


def _passage(text: str, speaker: str | None) -> str:
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


def _read_each(drafts: Sequence[Draft], mark: bool) -> list[_Read]:
    known: dict[str, list[detect.Kind]] = {}  # the drafts of a request share its metadata
    return [
        _Read(_extract(draft), fingerprint(draft.text), _suspicion(draft, known) if mark else {}) for draft in drafts
    ]


def _suspicion(draft: Draft, known: dict[str, list[detect.Kind]]) -> dict[str, Any]:
    found = detect.kinds_in([draft.text, draft.role, draft.speaker, draft.metadata, draft.provenance], known)
    return {"quarantine": found} if found else {}


def _extract(draft: Draft) -> Extraction:
    if draft.extracted:
        return Extraction()
    return extraction.extract(draft.text, speaker=draft.speaker, event_time=draft.event_time)
