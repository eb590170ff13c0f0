"""Adds that are answered before they are carried out: batches, what has become of them, and the queue behind."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from memsys_api import problems
from memsys_api.routes.common import Json, Reader, Serving, WholeReader, WholeWriter, Writer, event_out, may_answer
from memsys_api.routes.memories import IdempotencyKey
from memsys_api.schemas import submissions as wire
from memsys_api.store import audit, inferences, records

router = APIRouter(tags=["memories"])


@router.post(
    "/memories/batch",
    response_model=wire.BatchAdded,
    responses={
        202: {"model": wire.BatchAdded, "description": "Stored, or held for review: each request's event says"},
        **may_answer(problems.IDEMPOTENCY_CONFLICT),
    },
)
async def batch(
    serving: Serving, access: Writer, request: wire.BatchAddRequest, idempotency_key: IdempotencyKey
) -> Response:
    """Remember what many requests say: all of them or, on any error, none.

    Answered 200 when everything is carried out, and 202 when something is left to the language model, for which a
    batch never waits, or is held for review by the project's policy while the rest is stored. Each request has an event
    of its own, which says what became of it, to follow at `/events/{event_id}`.
    """
    items = [(access.scope(r.user_id, r.agent_id, r.app_id, r.run_id), r) for r in request.requests]
    events = await serving.submitting.submit(
        access.project, items, actor=access.caller.key_id, idempotency_key=idempotency_key, within="requests"
    )
    status = 200 if all(event.finished_at is not None for event in events) else 202
    return Json({"results": [event_out(event, access.project) for event in events]}, status_code=status)


@router.get("/events/{event_id}", response_model=wire.AddEventOut, responses=may_answer(problems.NOT_FOUND))
async def event(serving: Serving, access: Reader, event_id: UUID) -> Response:
    """What has become of an add that was answered at once. Known for seven days after it was made."""
    return Json(event_out(await serving.submitting.event(access.scope(), event_id), access.project))


@router.get("/inferences/status", response_model=wire.InferenceStatus, tags=["inferences"])
async def status(serving: Serving, access: WholeReader) -> Response:
    """How many adds of the project wait for the language model, or of all when the admin key names none."""
    queue = await inferences.status(serving.database, access.asked_about)
    state = serving.backfill.state() if serving.backfill else None
    return Json(
        {
            "provider": serving.settings.llm_provider,
            "available": state is not None and state.available,
            "pending": queue.pending,
            "parked": queue.parked,
            "lag_seconds": queue.lag_seconds,
            "last_error": queue.last_error,
        }
    )


@router.post("/inferences/sync", response_model=wire.InferenceSync, tags=["inferences"])
async def sync(serving: Serving, access: WholeWriter) -> Response:
    """Have the language model asked again, with all its attempts, about what it could not read or is waited for.

    Worth it after its settings have changed. Messages that were edited or deleted meanwhile stay as they are.
    """
    projects = await records.projects(serving.database) if access.everywhere else [access.project]
    requeued = 0
    for project in projects:
        async with serving.database.transaction(project) as conn:
            requeued += await inferences.requeue(conn, project)
    async with serving.database.transaction(access.project) as conn:
        await audit.record(conn, access.project, "inference.requeued", everywhere=access.everywhere, queued=requeued)
    if serving.backfill:
        serving.backfill.wake()
    queue = await inferences.status(serving.database, access.asked_about)
    return Json(
        {"requeued": requeued, "pending": queue.pending, "parked": queue.parked, "last_error": queue.last_error}
    )
