"""The words every room of the API shares: scopes, memories, entities, relations. Plain values, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a statement may look: one project, narrowed by any of mem0's four ids.

    The project is the tenant and the only wall; the ids filter inside it. ``None`` means "any".
    """

    project: str
    user_id: str | None = None
    agent_id: str | None = None
    app_id: str | None = None
    run_id: str | None = None


UNSPECIFIC = "entity"
"""The kind of an entity of which nothing more is known."""


@dataclass(frozen=True, slots=True)
class Entity:
    """Something a memory speaks of. ``key`` is the normalised name and is unique within a project."""

    key: str
    name: str
    kind: str = UNSPECIFIC
    revision: int = 0
    """How new name and kind are, as PostgreSQL counts; 0 for what was only just read out of a text."""


@dataclass(frozen=True, slots=True)
class Relation:
    """A directed, time-bound statement between two entities of the same project, by their keys."""

    subject: str
    predicate: str
    object: str
    valid_from: datetime | None = None
    valid_to: datetime | None = None


@dataclass(frozen=True, slots=True)
class Extraction:
    """What was read out of one text: the entities it mentions and the relations it states."""

    entities: tuple[Entity, ...] = ()
    relations: tuple[Relation, ...] = ()


@dataclass(frozen=True, slots=True)
class Memory:
    """One version of one memory, as it is stored and as it is answered."""

    id: UUID
    scope: Scope
    version: int
    text: str
    hash: str
    event_time: datetime
    created_at: datetime
    updated_at: datetime
    metadata: Mapping[str, Any] = field(default_factory=dict)
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class EndedRelation:
    """What an earlier version of a memory stated, and when that was the newest version."""

    relation: Relation
    version: int
    recorded_from: datetime
    recorded_to: datetime


@dataclass(frozen=True, slots=True)
class SinkRecord:
    """The newest state of one memory, as a state sink applies it.

    ``memory`` is ``None`` for a tombstone: the memory is deleted at ``version`` and an older add must not
    raise it again. A sink refuses any version that is older than the one it holds. ``ended`` is what earlier versions
    stated, and ``beside`` are the entities that only those speak of.
    """

    project: str
    id: UUID
    version: int
    memory: Memory | None
    extraction: Extraction = Extraction()
    ended: tuple[EndedRelation, ...] = ()
    beside: tuple[Entity, ...] = ()


@dataclass(frozen=True, slots=True)
class Embedded:
    """A live memory's newest version, by whose it is and its vector of unit length: nothing that was said."""

    id: UUID
    version: int
    scope: Scope
    vector: npt.NDArray[np.float32]


Verdict = Literal["POSITIVE", "NEGATIVE", "VERY_NEGATIVE"]
"""What somebody finds a memory worth."""
GraphStore = Literal["neo4j", "neptune", "none"]
"""Where the graph is kept."""
Quarantine = Literal["off", "flag", "hold", "refuse"]
"""What becomes of a suspect write."""
ChangeEvent = Literal["added", "updated", "deleted"]
"""What a change did to a memory, as those who follow changes are told."""
Uninferred = Literal["pending", "over-budget", "failed"]
"""Why a statement is stored as it was said."""
AddState = Literal["PENDING", "RUNNING", "SUCCEEDED", "FAILED", "HELD"]
"""How far an add is that was not waited for."""
HeldKind = Literal["add", "update", "import"]
"""What was to be done by a write that is held for review."""
HeldState = Literal["held", "released", "rejected"]
"""What was decided on a held write."""
WebhookDeliveryState = Literal["pending", "parked", "delivered"]
"""How far it is to tell a webhook of one event."""
ErasureState = Literal["running", "done"]
ErasureStep = Literal["note", "postgres", "sinks", "verify", "vacuum"]
"""What of an erasure is done next."""
RebuildState = Literal["applying", "sweeping", "draining", "done"]
"""How far a rebuild of the graph is."""
DriftKind = Literal["missing", "stale", "unexpected", "stray"]
"""How the graph differs from PostgreSQL."""
IndexMode = Literal["auto", "exact", "hnsw"]
"""When the approximate index of vectors is used."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one statement of an add: a memory came to be, has a new version, or said it already."""

    id: UUID
    text: str
    event: Literal["ADD", "UPDATE", "NONE"] = "ADD"
    version: int = 1
    previous: str | None = None
    """The text that an ``UPDATE`` has superseded."""
    inference: Uninferred | None = None
    """Stored as it was said, because the language model was away (``pending``), the project has used what it may of
    it today (``over-budget``), or it refused this (``failed``)."""
