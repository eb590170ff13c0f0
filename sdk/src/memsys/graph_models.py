"""The graph on the wire: entities, how they hang together, and how far the graph follows."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from memsys.models import Memory, Wire


class NamedEntity(Wire):
    """Something that memories speak of, as it resolves."""

    key: str
    name: str
    kind: str


class Entity(NamedEntity):
    """An entity with the names that were merged into it."""

    aliases: tuple[str, ...] = ()
    memories: int = 0


class EntityPage(Wire):
    """Entities in the order of their keys."""

    results: tuple[Entity, ...]
    next_cursor: str | None = None


class Merge(Wire):
    """A merge that was made or ended."""

    source: str = Field(alias="from")
    into: str
    memories: int = 0


class Statement(Wire):
    """A relation between two entities, as one version of a memory states it."""

    subject: str
    predicate: str
    object: str
    memory_id: UUID
    version: int
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    recorded_from: datetime
    recorded_to: datetime | None = None


class Neighbour(NamedEntity):
    """An entity near another, and how many statements lie between."""

    distance: int


class Neighbours(Wire):
    """What is around an entity; ``complete`` unless a bound cut it short."""

    entity: NamedEntity
    results: tuple[Neighbour, ...]
    statements: tuple[Statement, ...]
    complete: bool


class Paths(Wire):
    """How two entities hang together, shortest first."""

    results: tuple[tuple[NamedEntity, ...], ...]
    statements: tuple[Statement, ...]
    complete: bool


class Timeline(Wire):
    """What became of an entity, latest first."""

    entity: NamedEntity
    memories: tuple[Memory, ...]
    statements: tuple[Statement, ...]


class Rebuild(Wire):
    """A project's graph being built anew, or the last time that it was."""

    project: str
    state: Literal["applying", "sweeping", "draining", "done"]
    queued: int = 0
    removed: int = 0
    error: str | None = None
    requested_at: datetime | None = None
    finished_at: datetime | None = None


class Rebuilds(Wire):
    """Rebuilds, those that were asked for last first."""

    results: tuple[Rebuild, ...]
