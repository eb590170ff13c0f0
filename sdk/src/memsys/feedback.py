"""What people say of memories: models, operations, and both clients' methods."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Literal

from pydantic import Field

from memsys.models import Wire
from memsys.operations import Call, to_body
from memsys.paths import id_segment
from memsys.sending import AsyncSending, Sending

Verdict = Literal["POSITIVE", "NEGATIVE", "VERY_NEGATIVE"]


class Feedback(Wire):
    """What was said last of a memory; ``None`` everywhere where nothing was."""

    memory_id: uuid.UUID
    feedback: Verdict | None = None
    feedback_reason: str | None = Field(None, repr=False)
    version: int | None = None
    """The version that was judged."""
    given_by: str | None = None
    """The public id of the key that gave it."""
    given_at: datetime | None = None


class _Given(Wire):
    message: str


def give(memory_id: uuid.UUID | str, verdict: Verdict | None, reason: str | None) -> Call[_Given]:
    """Repeatable: a newer judgement takes the place of the one before."""
    body = to_body(memory_id=str(memory_id), feedback=verdict, feedback_reason=reason)
    return Call("POST", "/v1/feedback/", _Given, body=body, repeatable=True)


def read(memory_id: uuid.UUID | str) -> Call[Feedback]:
    return Call("GET", f"/memories/{id_segment('memory_id', memory_id)}/feedback", Feedback, repeatable=True)


class FeedbackMethods(Sending):
    """The blocking client's methods for feedback."""

    def give_feedback(self, memory_id: uuid.UUID | str, verdict: Verdict, *, reason: str | None = None) -> None:
        """Say what a memory is worth, in the place of what was said before."""
        self._send(give(memory_id, verdict, reason))

    def withdraw_feedback(self, memory_id: uuid.UUID | str) -> None:
        """Take back what was said of a memory."""
        self._send(give(memory_id, None, None))

    def feedback(self, memory_id: uuid.UUID | str) -> Feedback:
        """What was said last of a memory."""
        return self._send(read(memory_id))


class AsyncFeedbackMethods(AsyncSending):
    """The asynchronous client's methods for feedback."""

    async def give_feedback(self, memory_id: uuid.UUID | str, verdict: Verdict, *, reason: str | None = None) -> None:
        """Say what a memory is worth, in the place of what was said before."""
        await self._send(give(memory_id, verdict, reason))

    async def withdraw_feedback(self, memory_id: uuid.UUID | str) -> None:
        """Take back what was said of a memory."""
        await self._send(give(memory_id, None, None))

    async def feedback(self, memory_id: uuid.UUID | str) -> Feedback:
        """What was said last of a memory."""
        return await self._send(read(memory_id))
