"""The graph on the wire: how far behind it is, where it differs, and building it anew."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, Field

from memsys_api.model import DriftKind, GraphStore, RebuildState


class GraphStatus(BaseModel):
    """How far the graph is behind."""

    provider: GraphStore
    available: bool
    pending: int
    parked: int
    lag_seconds: float
    last_error: str | None


class GraphSync(BaseModel):
    """What driving the graph at once did."""

    applied: int
    pending: int
    parked: int
    requeued: int
    swept: int = Field(description="What no memory supported and is removed now; 0 unless asked for.")
    last_error: str | None


class GraphDifference(BaseModel):
    """A memory that the graph lacks, holds otherwise, or holds alone; or, without an id, what no memory supports."""

    project: str
    memory_id: UUID | None
    kind: DriftKind


class GraphDrift(BaseModel):
    """Where PostgreSQL and the graph differ, range by range of ids, deliveries under way aside."""

    provider: GraphStore
    checked: int = Field(description="Memories whose contents were read in both stores.")
    ranges: int = Field(description="Ranges of ids whose contents were hashed in both stores.")
    differing: int = Field(description="Ranges that were not equal, and were compared memory by memory.")
    missing: int
    stale: int
    unexpected: int
    strays: int = Field(description="Entities and relations of the graph that no memory supports.")
    complete: bool = Field(description="Whether this was the end of the last project.")
    cursor: str | None = Field(description="Where the next call goes on; null at the end.")
    samples: list[GraphDifference]


class GraphRebuild(BaseModel):
    """A project's graph being built anew, or the last time that it was."""

    project: str
    state: RebuildState
    queued: int = Field(description="Memories that are applied anew.")
    removed: int = Field(description="What the graph held and PostgreSQL does not.")
    error: str | None = Field(description="Why the last step has to be tried again.")
    requested_at: datetime
    finished_at: datetime | None


class GraphRebuilds(BaseModel):
    """Rebuilds, those that were asked for last first."""

    results: list[GraphRebuild]
