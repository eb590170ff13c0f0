"""Changes on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, Field

from memsys_api.model import ChangeEvent
from memsys_api.schemas.fields import MAX_RESULTS, Scoped


class ChangeQuery(Scoped):
    """Which changes, and from where on."""

    since: str | None = Field(
        None,
        max_length=128,
        description="A position: an `id` of the stream, or `next` of a page. `earliest`: all that are kept, of the "
        "last seven days. By default what comes from now on: such a page is empty but for its position.",
    )
    include: Literal["memory"] | None = Field(None, description="`memory`: with the text of memories that are there.")
    limit: int = Field(100, ge=1, le=MAX_RESULTS, description="How many at most in a page; a stream has no end.")


class ChangeOut(BaseModel):
    """One change of one memory."""

    id: str = Field(description="The position after this change.")
    event: ChangeEvent
    project: str
    memory_id: UUID
    version: int
    user_id: str | None
    agent_id: str | None
    app_id: str | None
    run_id: str | None
    occurred_at: datetime
    memory: str | None = Field(None, description="With `include=memory`: the text, null if the memory is gone by now.")


class ChangePage(BaseModel):
    """Changes, oldest first; of one memory in the order of its versions."""

    results: list[ChangeOut]
    next: str = Field(description="Where to go on.")
    more: bool = Field(description="Whether it is worth asking again at once.")
