"""Memories: add, list, read, change, delete."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request
from pydantic import Field
from starlette.responses import Response

from memsys_api import filters, problems, schemas
from memsys_api.routes.common import (
    HELD,
    Json,
    Reader,
    Serving,
    Writer,
    bounded,
    event_out,
    may_answer,
    memory_out,
    outcome_out,
    read_cursor,
    read_filters,
    write_cursor,
)
from memsys_api.schemas.fields import Moment
from memsys_api.schemas.quarantine import HeldResults
from memsys_api.schemas.submissions import AddEventOut
from memsys_api.store import reads
from memsys_api.store.filters import conditions

router = APIRouter(tags=["memories"])


async def _idempotency_key(
    access: Writer,
    given: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            min_length=1,
            max_length=255,
            pattern=r"^[\x20-\x7e]+$",
            description="A request repeated under the same key within two days is answered as the first time and "
            "stores nothing. API keys that are granted for one user, agent, app or run have keys of their own here.",
        ),
    ] = None,
) -> str | None:
    return None if given is None else access.idempotency_key(given)


IdempotencyKey = Annotated[str | None, Depends(_idempotency_key)]
"""Under what the request is known, where it has a key."""


class ListQuery(schemas.Scoped):
    """Which memories to list."""

    limit: int = Field(100, ge=1, le=schemas.MAX_RESULTS, description="How many at most.")
    cursor: str | None = Field(None, max_length=64, description="`next_cursor` of the page before.")
    as_of: Moment | None = Field(None, description="List what was known at this moment.")
    filters: str | None = Field(
        None, max_length=10_000, description="Filters as those of `/search`, a JSON object written as a string."
    )


class HistoryQuery(schemas.Body):
    """Which changes."""

    after: int = Field(0, ge=0, le=2**31 - 1, description="Only changes after this version.")
    limit: int = Field(schemas.MAX_RESULTS, ge=1, le=schemas.MAX_RESULTS, description="How many at most.")


@router.post(
    "/memories",
    response_model=schemas.AddResults,
    responses={
        202: {
            "model": AddEventOut | HeldResults,
            "description": "Stored as it was said, and what it means is found out later; or held for review",
            "headers": {"Location": {"schema": {"type": "string"}, "description": "Where to follow it."}},
        },
        **may_answer(problems.IDEMPOTENCY_CONFLICT),
    },
)
async def add(
    serving: Serving,
    access: Writer,
    request: schemas.AddRequest,
    idempotency_key: IdempotencyKey,
    prefer: Annotated[
        str | None, Header(max_length=1000, description="`respond-async` is the same as `wait: false` (RFC 7240).")
    ] = None,
    accepted_at: Annotated[
        Moment | None,
        Header(
            alias="X-Memsys-Accepted",
            description="When another server has taken this, where it could not hand it on at once. What was erased "
            "since is answered 409 `erased`, and nothing is stored.",
        ),
    ] = None,
) -> Response:
    """Remember messages. All of them or, on any error, none."""
    scope = access.scope(request.user_id, request.agent_id, request.app_id, request.run_id)
    preferred = any(part.strip().lower() == "respond-async" for part in (prefer or "").split(","))
    if preferred or not request.wait:
        (event,) = await serving.submitting.submit(
            scope.project,
            [(scope, request)],
            actor=access.caller.key_id,
            idempotency_key=idempotency_key,
            accepted_at=accepted_at,
        )
        headers = {"Location": f"/events/{event.id}"} | ({"Preference-Applied": "respond-async"} if preferred else {})
        return Json(event_out(event, scope.project), status_code=202, headers=headers)
    outcomes = await serving.memories.add(
        scope, request, actor=access.caller.key_id, idempotency_key=idempotency_key, accepted_at=accepted_at
    )
    return Json({"results": [outcome_out(o, scope.project) for o in outcomes]})


@router.get("/memories", response_model=schemas.MemoryPage)
async def page(serving: Serving, access: Reader, query: Annotated[ListQuery, Query()]) -> Response:
    """Memories of a scope, newest first. The pages of one `as_of` that has passed never shift."""
    wanted = filters.parse(read_filters(query.filters))
    ids = wanted.within({field: getattr(query, field) for field in filters.SCOPE_FIELDS})
    memories, following = await serving.memories.page(
        access.scope(**ids),
        limit=query.limit,
        before=read_cursor(query.cursor),
        filters=conditions(wanted.rest),
        as_of=query.as_of,
    )
    return Json({"results": [memory_out(m) for m in memories], "next_cursor": write_cursor(following)})


@router.delete("/memories", response_model=schemas.Deleted)
async def delete_all(serving: Serving, access: Writer, query: Annotated[schemas.Scoped, Query()]) -> Response:
    """Delete every memory of a scope, which must name at least one id.

    A thousand at a time, oldest first: one that is not answered 200 may have deleted a part; repeat it for the rest.
    """
    ids = query.model_dump()
    bounded(ids)
    scope = access.scope(**ids)
    deleted = await serving.changing.delete_all(scope, actor=access.caller.key_id)
    return Json({"message": "Memories deleted successfully!", "deleted": deleted})


@router.get("/memories/{memory_id}", response_model=schemas.MemoryDetail, responses=may_answer(problems.NOT_FOUND))
async def get(
    serving: Serving,
    access: Reader,
    memory_id: UUID,
    as_of: Annotated[Moment | None, Query(description="The version that was known at this moment.")] = None,
) -> Response:
    """One memory; with `as_of` also one that is deleted, changed or expired by now."""
    memory = await serving.memories.get(access.scope(), memory_id, as_of=as_of)
    provenance = await reads.provenance(serving.database, memory.scope, memory.id, memory.version)
    return Json(memory_out(memory) | {"provenance": provenance})


@router.put(
    "/memories/{memory_id}",
    response_model=schemas.MemoryOut,
    responses=may_answer(problems.NOT_FOUND, problems.CONFLICT) | HELD,
)
async def update(
    serving: Serving,
    access: Writer,
    memory_id: UUID,
    request: schemas.UpdateRequest,
    idempotency_key: IdempotencyKey,
) -> Response:
    """Write a memory's next version; the one before stays in its history."""
    memory = await serving.changing.update(
        access.scope(), memory_id, request, actor=access.caller.key_id, idempotency_key=idempotency_key
    )
    return Json(memory_out(memory))


@router.delete("/memories/{memory_id}", response_model=schemas.Deleted, responses=may_answer(problems.NOT_FOUND))
async def delete(serving: Serving, access: Writer, memory_id: UUID) -> Response:
    """Delete one memory; its history stays."""
    await serving.changing.delete(access.scope(), memory_id, actor=access.caller.key_id)
    return Json({"message": "Memory deleted successfully!", "deleted": 1})


@router.get(
    "/memories/{memory_id}/history",
    response_model=list[schemas.HistoryItem],
    responses=may_answer(problems.NOT_FOUND),
)
async def history(
    serving: Serving, access: Reader, http: Request, memory_id: UUID, query: Annotated[HistoryQuery, Query()]
) -> Response:
    """Every change of a memory, oldest first; also of a deleted one. With more to come, `Link` leads on."""
    entries = await serving.memories.history(access.scope(), memory_id, after=query.after, limit=query.limit + 1)
    more, entries = len(entries) > query.limit, entries[: query.limit]
    following = http.url.include_query_params(after=entries[-1].version, limit=query.limit) if more else None
    return Json(
        [
            {
                "id": f"{e.memory_id}:{e.version}",
                "memory_id": e.memory_id,
                "version": e.version,
                "event": e.event,
                "old_memory": e.old_text,
                "new_memory": e.new_text,
                "created_at": e.created_at,
                "updated_at": e.recorded_from,
                "is_deleted": e.event == "DELETE",
            }
            for e in entries
        ],
        headers={"Link": f'<{following}>; rel="next"'} if following else None,
    )
