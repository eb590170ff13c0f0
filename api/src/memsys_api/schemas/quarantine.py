"""Writes held for review, on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from memsys_api.model import HeldKind, HeldState
from memsys_api.schemas.fields import MAX_RESULTS


class FindingOut(BaseModel):
    """Why a write is held: what a place of it looks like."""

    kind: str
    field: str
    start: int
    end: int


class HeldAnswer(BaseModel):
    """A write that was not carried out."""

    event: Literal["HELD"]
    review_id: UUID
    memory_id: UUID | None = Field(description="Whose update it is; null: an add.")
    project: str
    findings: list[FindingOut] = Field(description="At most a hundred of each kind.")


class HeldResults(BaseModel):
    """The answer to a write that is held: nothing of it is stored as a memory."""

    results: list[HeldAnswer]


class HeldOut(BaseModel):
    """One write under review, or what was decided on it."""

    id: UUID
    project: str
    user_id: str | None
    agent_id: str | None
    app_id: str | None
    run_id: str | None
    kind: HeldKind
    memory_id: UUID | None = Field(description="Whose version it is to be; null: of memories that are new.")
    state: HeldState
    findings: list[FindingOut]
    request: dict[str, Any] | None = Field(
        description="What was to be written: a request's body, or an import's line; null once it is decided on."
    )
    facts: list[str] | None = Field(
        description="What a language model made of it, where that is suspect; null once it is decided on."
    )
    source_ids: list[UUID] = Field(
        description="Its messages, where they had been stored before the language model was asked. They are deleted."
    )
    actor: str
    held_at: datetime
    decided_at: datetime | None
    decided_by: str | None
    memory_ids: list[UUID] = Field(description="What came of a release.")


class HeldPage(BaseModel):
    """Held writes, newest first. `next_cursor` is null on the last page."""

    results: list[HeldOut]
    next_cursor: str | None


class HeldQuery(BaseModel):
    """Which writes to list."""

    model_config = ConfigDict(extra="forbid")

    state: HeldState = "held"
    limit: int = Field(100, ge=1, le=MAX_RESULTS, description="How many at most.")
    cursor: str | None = Field(None, max_length=64, description="`next_cursor` of the page before.")
