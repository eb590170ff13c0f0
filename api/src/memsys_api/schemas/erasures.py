"""Erasures on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from memsys_api.access.grants import PROJECT_PATTERN
from memsys_api.filters import SCOPE_FIELDS
from memsys_api.model import ErasureState, ErasureStep
from memsys_api.schemas.fields import MAX_RESULTS, Moment, Scoped
from memsys_api.schemas.rules import given

_Ids = Annotated[list[UUID], Field(min_length=1, max_length=10_000)]


class ErasureScope(Scoped):
    """What is to be forgotten: all that agrees with every id given."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                *(given(field, "string", none=["everything"]) for field in SCOPE_FIELDS),
                given("memory_ids", "array", none=["everything"]),
                given("everything", "boolean", none=[*SCOPE_FIELDS, "memory_ids"]),
            ]
        }
    )

    memory_ids: _Ids | None = Field(None, description="Only these memories.")
    everything: Literal[True] | None = Field(None, description="The whole project, and no other field beside it.")

    @model_validator(mode="after")
    def _not_empty(self) -> ErasureScope:
        given = self.given()
        if not given:
            raise ValueError(
                "give user_id, agent_id, app_id, run_id or memory_ids, or everything for the whole project"
            )
        if self.everything and len(given) > 1:
            raise ValueError("everything leaves nothing to be narrowed; give it alone")
        return self

    def given(self) -> dict[str, Any]:
        """The fields that were given, as JSON."""
        return self.model_dump(mode="json", exclude_none=True)


class LedgerLine(BaseModel):
    """One erasure as the ledger has it: ids and times alone."""

    model_config = ConfigDict(extra="forbid")

    project: Annotated[str, StringConstraints(pattern=PROJECT_PATTERN)]
    id: UUID
    scope: ErasureScope
    requested_by: str = Field(max_length=64)
    requested_at: Moment
    recorded_before: Moment = Field(description="What was recorded later is not meant.")


class Remainder(BaseModel):
    """Something that no query reaches any more, and the event that removes it."""

    where: str
    what: str
    event: str
    until: datetime | None = Field(description="At the latest; null: no setting of this server tells.")


class Receipt(BaseModel):
    """What was removed, what was counted afterwards, and what physically remains until when."""

    removed: dict[str, dict[str, int]] = Field(description="How many, by store and table.")
    verified: dict[str, dict[str, int]] = Field(description="How many were found afterwards, by store and table.")
    remains: list[Remainder]


class ErasureOut(BaseModel):
    """An erasure, under way or done."""

    id: UUID
    project: str
    scope: dict[str, Any]
    state: ErasureState
    step: ErasureStep
    waits_for: str | None = Field(description="What the step waits for, if it does.")
    requested_by: str
    requested_at: datetime
    recorded_before: datetime = Field(description="What was recorded later is new and stays.")
    verified_at: datetime | None = Field(description="When nothing of it was found any more, in any store.")
    finished_at: datetime | None
    receipt: Receipt | None = Field(description="When it is done.")


class ErasurePage(BaseModel):
    """Erasures, newest first. `next_cursor` is null on the last page."""

    results: list[ErasureOut]
    next_cursor: str | None


class Replayed(BaseModel):
    """How many erasures of a ledger are carried out once more."""

    replayed: int


class PageQuery(BaseModel):
    """Which page."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(100, ge=1, le=MAX_RESULTS, description="How many at most.")
    cursor: str | None = Field(None, max_length=64, description="`next_cursor` of the page before.")
