"""The graph on the wire: how far behind it is, and where it differs."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from pydantic import BaseModel


class GraphStatus(BaseModel):
    """How far the graph is behind."""

    provider: Literal["neo4j", "none"]
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
    last_error: str | None


class GraphDifference(BaseModel):
    """A memory that the graph lacks, holds otherwise, or holds alone."""

    project: str
    memory_id: UUID
    kind: Literal["missing", "stale", "unexpected"]


class GraphDrift(BaseModel):
    """Where PostgreSQL and the graph differ, memory by memory, deliveries under way aside."""

    provider: Literal["neo4j", "none"]
    checked: int
    missing: int
    stale: int
    unexpected: int
    complete: bool
    samples: list[GraphDifference]
