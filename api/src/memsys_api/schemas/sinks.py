"""What is fed from PostgreSQL, on the wire."""

from __future__ import annotations

from pydantic import BaseModel, Field


class SinkStatus(BaseModel):
    """How far one sink is behind."""

    name: str
    provider: str = Field(description="What keeps it: neo4j, qdrant, weaviate, pinecone.")
    available: bool
    filled: bool = Field(description="Whether it was told of all memories there were when it was chosen.")
    pending: int
    parked: int
    lag_seconds: float
    last_error: str | None


class SinkSync(BaseModel):
    """What driving a sink at once did."""

    applied: int
    pending: int
    parked: int
    requeued: int
    last_error: str | None


class SinkCount(BaseModel):
    """How many memories PostgreSQL has for a vector index, and how many that holds."""

    provider: str
    expected: int
    held: int = Field(description="By the index's own account, which may lag behind by a minute.")
    queued: int
