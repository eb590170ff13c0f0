"""Entities on the wire: what memories speak of, how it hangs together, and which names are one."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, Field

from memsys_api.schemas.fields import Body, storable
from memsys_api.schemas.memories import MemoryOut

Name = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(storable)]


class NamedEntity(BaseModel):
    """An entity as it resolves."""

    key: str
    name: str
    kind: str


class EntityOut(NamedEntity):
    """An entity with the names that were merged into it."""

    aliases: list[str] = Field(
        description="Keys of the entities merged into this one; of a narrow scope those that its memories mention."
    )
    memories: int = Field(description="How many memories of the scope mention it under any of its names.")


class EntityPage(BaseModel):
    """Entities in the order of their keys."""

    results: list[EntityOut]
    next_cursor: str | None


class MergeRequest(Body):
    """Two names of one entity."""

    from_: Name = Field(alias="from", description="The name that from now on stands for the other entity.")
    into: Name = Field(description="The entity that stays.")
    reason: Annotated[str, Field(max_length=200), AfterValidator(storable)] = Field(
        "asked for", description="Why, for whoever reads it later."
    )


class UnmergeRequest(Body):
    """A name that is to be an entity of its own again."""

    from_: Name = Field(alias="from", description="The name that was merged into another entity.")


class Merged(BaseModel):
    """A merge that was made or ended."""

    from_: str = Field(alias="from")
    into: str
    memories: int = Field(description="Memories that are delivered to the graph again.")


class StatementOut(BaseModel):
    """A relation between two entities, as one version of a memory states it: that memory is its provenance."""

    subject: str
    predicate: str
    object: str
    memory_id: UUID
    version: int
    valid_from: datetime | None = Field(description="Since when it holds in the world.")
    valid_to: datetime | None
    recorded_from: datetime = Field(description="Since when it has been known here.")
    recorded_to: datetime | None


class Neighbour(NamedEntity):
    """An entity near another."""

    distance: int = Field(description="How many statements lie between.")


class Neighbours(BaseModel):
    """What is around an entity."""

    entity: NamedEntity
    results: list[Neighbour]
    statements: list[StatementOut]
    complete: bool = Field(description="Whether no bound cut the answer short.")


class Paths(BaseModel):
    """How two entities hang together, shortest first."""

    results: list[list[NamedEntity]]
    statements: list[StatementOut] = Field(description="What is stated between entities along these paths.")
    complete: bool = Field(description="Whether no bound cut the search short.")


class Timeline(BaseModel):
    """What became of an entity, latest first."""

    entity: NamedEntity
    memories: list[MemoryOut]
    statements: list[StatementOut]
