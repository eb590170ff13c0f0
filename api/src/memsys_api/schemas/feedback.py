"""Feedback on memories, on the wire."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from memsys_api.model import Verdict
from memsys_api.schemas.fields import Body, Text
from memsys_api.schemas.rules import given


class Mem0Feedback(Body):
    """`feedback`: what a memory is worth; a reason needs a feedback."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [given("feedback", "string"), {"properties": {"feedback_reason": {"type": "null"}}}]
        }
    )

    memory_id: UUID
    feedback: Verdict | None = None
    feedback_reason: Text | None = Field(None, description="Why.")


class FeedbackGiven(BaseModel):
    """What is said of the memory from now on."""

    id: UUID = Field(description="The memory's id: it has one feedback at a time.")
    message: str
    feedback: Verdict | None
    feedback_reason: str | None


class FeedbackOut(BaseModel):
    """What was said last of a memory; null where nothing was."""

    memory_id: UUID
    feedback: Verdict | None
    feedback_reason: str | None
    version: int | None = Field(description="The version that was judged.")
    given_by: str | None = Field(description="The public id of the key that gave it.")
    given_at: datetime | None
