"""Adds that are answered before they are carried out, on the wire."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, Field, model_validator

from memsys_api.model import AddState
from memsys_api.schemas.fields import Body
from memsys_api.schemas.memories import Added, AddRequest

MAX_REQUESTS = 100
MAX_TURNS = 1_000


class AddEventOut(BaseModel):
    """An add to follow."""

    id: UUID
    status: AddState = Field(
        description="FAILED: the language model cannot read it, and the messages stay as they were said; or the "
        "project's policy does not let it in. HELD: it waits for review, and is followed here until it is decided on."
    )
    results: list[Added] = Field(
        description="What became of it; until it has succeeded, and when the language model cannot read it, the "
        "messages as they were said. Of what is held or not let in there are none."
    )
    error: str | None = Field(description="Why it has not succeeded yet, or has failed.")
    review_id: UUID | None = Field(description="Where it was held: its id in `/quarantine`.")
    created_at: datetime
    finished_at: datetime | None


class BatchAddRequest(Body):
    """Adds to store together."""

    requests: list[AddRequest] = Field(
        min_length=1, max_length=MAX_REQUESTS, json_schema_extra={"not": {"contains": {"required": ["wait"]}}}
    )

    @model_validator(mode="after")
    def _fits(self) -> BatchAddRequest:
        if any("wait" in request.model_fields_set for request in self.requests):
            raise ValueError("wait: a batch never waits for the language model; leave it out")
        if sum(len(request.turns()) for request in self.requests) > MAX_TURNS:
            raise ValueError(f"requests must hold {MAX_TURNS} messages at most, all together")
        return self


class BatchAdded(BaseModel):
    """One event for each add of a batch, in order."""

    results: list[AddEventOut]


class InferenceStatus(BaseModel):
    """How far inference is behind."""

    provider: str
    available: bool
    pending: int
    parked: int
    lag_seconds: float
    last_error: str | None


class InferenceSync(BaseModel):
    """What was queued again, and what waits now."""

    requeued: int
    pending: int
    parked: int
    last_error: str | None
