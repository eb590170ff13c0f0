"""What people say of memories, as mem0's clients give it; and to be read back, which they cannot."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from memsys_api.problems import NOT_FOUND, invalid
from memsys_api.routes.common import Json, Reader, Serving, Writer, may_answer
from memsys_api.schemas.feedback import FeedbackGiven, FeedbackOut, Mem0Feedback
from memsys_api.store.feedback import Feedback

router = APIRouter()


@router.post("/v1/feedback/", response_model=FeedbackGiven, responses=may_answer(NOT_FOUND), tags=["mem0"])
async def give(serving: Serving, access: Writer, request: Mem0Feedback) -> Response:
    """Say what a memory is worth; it takes the place of what was said before. Without `feedback` that is taken back."""
    if request.feedback is None and request.feedback_reason is not None:
        raise invalid("feedback_reason", "is the reason of a feedback; give feedback too, or leave out both")
    given = await serving.judging.judge(
        access.scope(), request.memory_id, request.feedback, request.feedback_reason, actor=access.caller.key_id
    )
    message = "Feedback recorded" if given else "Feedback removed"
    return Json({"id": request.memory_id, "message": message, **_said(given)})


@router.get(
    "/memories/{memory_id}/feedback", response_model=FeedbackOut, responses=may_answer(NOT_FOUND), tags=["memories"]
)
async def read(serving: Serving, access: Reader, memory_id: UUID) -> Response:
    """What was said last of a memory, of which version, by which key; null where nothing was."""
    given = await serving.judging.read(access.scope(), memory_id)
    return Json(
        {
            "memory_id": memory_id,
            **_said(given),
            "version": given and given.version,
            "given_by": given and given.actor,
            "given_at": given and given.given_at,
        }
    )


def _said(given: Feedback | None) -> dict[str, str | None]:
    return {"feedback": given.verdict if given else None, "feedback_reason": given.reason if given else None}
