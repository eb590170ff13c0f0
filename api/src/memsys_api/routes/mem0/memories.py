"""Memories as mem0's clients add, read, search, change and delete them."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel
from starlette.responses import Response

from memsys_api import problems, schemas
from memsys_api.flows.changing import Change
from memsys_api.problems import NOT_FOUND, NOT_SUPPORTED, ProblemError, invalid
from memsys_api.routes.common import HELD, Json, Reader, Serving, Writer, held_out, may_answer, outcome_out
from memsys_api.routes.mem0 import options, shapes
from memsys_api.routes.memories import IdempotencyKey
from memsys_api.routes.search import reranks
from memsys_api.store import listing
from memsys_api.store.filters import conditions

router = APIRouter(tags=["mem0"])

_PARTLY_HELD = "Some of the changes are held for review, by the project's policy; the others are made"
_UNSUPPORTED = may_answer(problems.NOT_SUPPORTED)


@router.get("/v1/ping/", response_model=shapes.Mem0Ping)
async def ping(access: Reader) -> Response:
    """Whose key this is; the client asks it first."""
    return Json({"status": "ok", "org_id": "memsys", "project_id": access.project, "user_email": None})


@router.post(
    "/v3/memories/add/",
    response_model=schemas.AddResults,
    responses=may_answer(problems.IDEMPOTENCY_CONFLICT, problems.NOT_SUPPORTED) | HELD,
)
async def add(serving: Serving, access: Writer, request: options.Mem0Add, idempotency_key: IdempotencyKey) -> Response:
    """Remember messages; answered when they are stored."""
    options.supported(request)
    if request.custom_instructions is not None and serving.settings.llm_provider == "none":
        raise ProblemError(NOT_SUPPORTED, "custom_instructions: there is no language model to follow them")
    wanted = schemas.AddRequest.model_validate(
        {
            "messages": _plain(request.messages),
            "metadata": request.metadata or {},
            "prompt": request.custom_instructions,
            "infer": request.infer is not False,
            "timestamp": options.happened_at(request.timestamp),
            "expires_at": options.expires_at(request.expiration_date),
        }
    )
    scope = access.scope(**options.ids_of(request))
    outcomes = await serving.memories.add(scope, wanted, actor=access.caller.key_id, idempotency_key=idempotency_key)
    return Json({"results": [outcome_out(o, scope.project) for o in outcomes]})


@router.post("/v3/memories/", response_model=shapes.Mem0Page, responses=_UNSUPPORTED)
async def get_all(
    serving: Serving,
    access: Reader,
    http: Request,
    request: options.Mem0GetAll,
    query: Annotated[options.PageQuery, Query()],
) -> Response:
    """A page of memories, newest first."""
    options.supported(request)
    wanted = options.wanted(request)
    count, memories = await listing.page(
        serving.database,
        access.scope(**wanted.ids),
        number=query.page,
        size=query.page_size,
        filters=conditions(wanted.rest),
    )
    return Json(shapes.page(http.url, query, count, [shapes.memory(m) for m in memories]))


@router.post("/v3/memories/search/", response_model=shapes.Mem0Hits, responses=_UNSUPPORTED)
async def search(serving: Serving, access: Reader, request: options.Mem0Search) -> Response:
    """The memories that answer a query best."""
    options.supported(request)
    unknown = set(request.fields or ()) - set(options.HIT_FIELDS)
    if unknown:
        raise invalid("fields", f"{min(unknown)!r} is not one of {', '.join(options.HIT_FIELDS)}")
    wanted = options.wanted(request)
    found = await serving.searcher.search(
        access.scope(**wanted.ids),
        request.query,
        top_k=request.top_k or 10,
        threshold=request.threshold,
        filters=conditions(wanted.rest),
        now=options.reference(request.reference_date),
        rerank=reranks(serving.searcher, request.rerank),
    )
    results = [shapes.memory(memory) | {"score": ranked.score} for ranked, memory in found.hits]
    if request.fields is not None:
        kept = {"id", *request.fields}
        results = [{field: value for field, value in result.items() if field in kept} for result in results]
    return Json({"results": results})


@router.delete("/v1/memories/", response_model=schemas.Deleted)
async def delete_all(serving: Serving, access: Writer, query: Annotated[options.DeleteAllQuery, Query()]) -> Response:
    """Delete every memory of a scope, which must name at least one id and nothing that is not understood.

    A thousand at a time, oldest first: one that is not answered 200 may have deleted a part; repeat it for the rest.
    """
    scope = access.scope(**options.deleted_scope(query))
    deleted = await serving.changing.delete_all(scope, actor=access.caller.key_id)
    return Json({"message": "Memories deleted successfully!", "deleted": deleted})


@router.put(
    "/v1/batch/",
    response_model=shapes.Mem0Changed,
    responses=may_answer(NOT_FOUND) | {202: {"model": shapes.Mem0PartlyHeld, "description": _PARTLY_HELD}},
)
async def batch_update(serving: Serving, access: Writer, request: options.Mem0BatchUpdate) -> Response:
    """Change all of these memories or, on any error, none. Suspect changes may be held for review, and answered 202."""
    changes = []
    for place, item in enumerate(request.memories):
        if item.text is None and item.metadata is None:
            raise invalid(f"memories.{place}", "must have text, metadata or both")
        given = item.model_dump(include={"text", "metadata"}, exclude_none=True)
        changes.append(Change(item.memory_id, schemas.UpdateRequest.model_validate(given)))
    changed = await serving.changing.update_all(access.scope(), changes, actor=access.caller.key_id)
    message = f"Successfully updated {len(changed.memories)} memories"
    if not changed.held:
        return Json({"message": message})
    results = [held_out(access.project, one.id, one.memory_id, one.findings) for one in changed.held]
    return Json({"message": f"{message}; {len(results)} held for review", "results": results}, status_code=202)


@router.delete("/v1/batch/", response_model=shapes.Mem0Changed, responses=may_answer(NOT_FOUND))
async def batch_delete(serving: Serving, access: Writer, request: options.Mem0BatchDelete) -> Response:
    """Delete all of these memories or, on any error, none."""
    ids = [item.memory_id for item in request.memories]
    deleted = await serving.changing.delete_each(access.scope(), ids, actor=access.caller.key_id)
    return Json({"message": f"Successfully deleted {deleted} memories"})


@router.get("/v1/memories/{memory_id}/", response_model=shapes.Mem0Memory, responses=may_answer(NOT_FOUND))
async def get(serving: Serving, access: Reader, memory_id: UUID) -> Response:
    """One memory."""
    return Json(shapes.memory(await serving.memories.get(access.scope(), memory_id)))


@router.put(
    "/v1/memories/{memory_id}/",
    response_model=shapes.Mem0Memory,
    responses=may_answer(NOT_FOUND) | HELD,
)
async def update(serving: Serving, access: Writer, memory_id: UUID, request: options.Mem0Update) -> Response:
    """Write a memory's next version."""
    memory = await serving.changing.update(
        access.scope(), memory_id, options.change(request), actor=access.caller.key_id
    )
    return Json(shapes.memory(memory))


@router.delete("/v1/memories/{memory_id}/", response_model=schemas.Deleted, responses=may_answer(NOT_FOUND))
async def delete(
    serving: Serving, access: Writer, memory_id: UUID, query: Annotated[options.DeleteQuery, Query()]
) -> Response:
    """Delete one memory. None of its earlier versions can come back, so `delete_linked` adds nothing to it."""
    await serving.changing.delete(access.scope(), memory_id, actor=access.caller.key_id)
    return Json({"message": "Memory deleted successfully!", "deleted": 1})


@router.get(
    "/v1/memories/{memory_id}/history/", response_model=list[shapes.Mem0Change], responses=may_answer(NOT_FOUND)
)
async def history(serving: Serving, access: Reader, memory_id: UUID) -> Response:
    """Every change of a memory, oldest first."""
    return Json([shapes.change(entry) for entry in await serving.memories.history(access.scope(), memory_id)])


def _plain(messages: Any) -> Any:
    """As they came, to be read once more with the rules of the other route."""
    return (
        messages if isinstance(messages, str) else [m.model_dump() if isinstance(m, BaseModel) else m for m in messages]
    )
