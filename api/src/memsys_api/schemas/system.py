"""What the server says of itself, and problems."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from memsys_api.model import GraphStore


class EmbedderInfo(BaseModel):
    """The embedder in use."""

    provider: str
    model: str
    dimensions: int
    precision: str
    index: str


class GraphInfo(BaseModel):
    """The graph in use."""

    provider: GraphStore
    available: bool


class LlmInfo(BaseModel):
    """The language model in use."""

    provider: str
    model: str | None
    available: bool = Field(description="Whether it answered when last asked; false without one.")
    retry_after: float | None = Field(description="Seconds for which it is left alone after failures.")
    last_error: str | None
    pending: int | None = Field(
        description="Adds that wait for it: of the project, or of all when the admin key names none. Null for a key "
        "that is granted for a part of its project."
    )
    parked: int | None = Field(description="Adds that it could not read; they stay as they were said.")


class Info(BaseModel):
    """What this server is made of."""

    version: str
    embedder: EmbedderInfo
    graph: GraphInfo
    llm: LlmInfo


class FieldProblem(BaseModel):
    """One field that cannot be used."""

    field: str
    message: str


class Problem(BaseModel):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    errors: list[FieldProblem] | None = None


class Health(BaseModel):
    """Alive."""

    status: Literal["ok"]
