"""The audit trail on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field

from memsys_api.schemas.fields import MAX_RESULTS, Body, Moment, storable

_Word = Annotated[str, Field(min_length=1, max_length=256), AfterValidator(storable)]


class AuditQuery(Body):
    """Which acts to list."""

    actor: _Word | None = Field(
        None,
        description="A key's id, alone or as `<id> for <subject>` where it was used on somebody's behalf; `admin`; or "
        "`system` for what the server did itself.",
    )
    action: _Word | None = Field(None, description="An action such as `memory.deleted`, or a kind such as `memory`.")
    target: _Word | None = Field(None, description="The id of what was acted on, such as a memory's or a key's.")
    since: Moment | None = Field(None, description="Not before this moment.")
    until: Moment | None = Field(None, description="Before this moment.")
    limit: int = Field(100, ge=1, le=MAX_RESULTS, description="How many at most.")
    cursor: str | None = Field(None, max_length=64, description="`next_cursor` of the page before.")


class AuditEntry(BaseModel):
    """One act: who did what to which. Never memory text, never a query."""

    id: int
    at: datetime
    actor: str
    actor_name: str | None = Field(description="What the actor's key is called now.")
    action: str
    target: str | None
    request_id: str | None
    detail: dict[str, Any]


class AuditPage(BaseModel):
    """Acts, newest first. `next_cursor` is null on the last page."""

    results: list[AuditEntry]
    next_cursor: str | None
