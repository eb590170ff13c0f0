"""Review of writes that are held."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.responses import Response

from memsys_api import metrics, problems, schemas
from memsys_api.acting import on_behalf_of
from memsys_api.assembling import Service
from memsys_api.problems import NOT_FOUND, REVIEWED, ProblemError
from memsys_api.routes.common import Admin, Json, Serving, may_answer, read_cursor, write_cursor
from memsys_api.schemas.quarantine import HeldOut, HeldPage, HeldQuery
from memsys_api.store import audit, held

router = APIRouter(prefix="/quarantine", tags=["quarantine"])

_DECISION = may_answer(problems.NOT_FOUND, problems.REVIEWED)


@router.get("", response_model=HeldPage)
async def page(serving: Serving, access: Admin, query: Annotated[HeldQuery, Query()]) -> Response:
    """Writes that wait for review, or were decided on, newest first. The audit trail says who has read waiting ones."""
    found, following = await held.page(
        serving.database, access.project, query.state, limit=query.limit, before=read_cursor(query.cursor)
    )
    if query.state == "held" and found:
        async with serving.database.transaction(access.project) as conn:
            await audit.record(conn, access.project, "quarantine.read", count=len(found))
    return Json({"results": [_out(one) for one in found], "next_cursor": write_cursor(following)})


@router.post("/{review_id}/release", response_model=HeldOut, responses=_DECISION)
async def release(serving: Serving, access: Admin, review_id: UUID) -> Response:
    """Carry a held write out, as whoever wrote it asked; it is stored once, however often it is released.

    A language model is asked again about an add, so its facts may differ from those that were shown.
    """
    one = await _find(serving, access.project, review_id)
    if one.state == "held":
        try:
            await _carry_out(serving, held.Release(one, access.caller.key_id, access.caller.actor))
            metrics.QUARANTINE.labels("released").inc()
        except held.AlreadyDecided:
            pass  # at the same time; which way shows below
        one = await _find(serving, access.project, review_id)
    if one.state == "rejected":
        raise ProblemError(REVIEWED, "the write was rejected, and its words are gone; write it again")
    return Json(_out(one))


@router.post("/{review_id}/reject", response_model=HeldOut, responses=_DECISION)
async def reject(serving: Serving, access: Admin, review_id: UUID) -> Response:
    """Drop a held write. Its messages that had been stored stay in their history, until `source_ids` are erased."""
    async with serving.database.transaction(access.project) as conn:
        decided = await held.decide(conn, access.project, review_id, "rejected", access.caller.key_id)
    if decided:
        metrics.QUARANTINE.labels("rejected").inc()
    one = await _find(serving, access.project, review_id)
    if one.state == "released":
        raise ProblemError(REVIEWED, "the write was released; delete or erase what came of it")
    return Json(_out(one))


async def _find(serving: Service, project: str, review_id: UUID) -> held.Held:
    found = await held.get(serving.database, project, review_id)
    if found is None:
        raise ProblemError(NOT_FOUND, "there is no such write under review")
    return found


async def _carry_out(serving: Service, release: held.Release) -> None:
    """The normal flow, which settles the release in the transaction that writes."""
    one = release.review
    with on_behalf_of(one.actor):
        if one.kind == "import":
            await serving.importing.release(release)
        elif one.kind == "update":
            assert one.memory_id is not None
            change = schemas.UpdateRequest.model_validate(one.request)
            await serving.changing.update(one.scope, one.memory_id, change, actor=one.actor, release=release)
        else:
            request = schemas.AddRequest.model_validate(one.request)
            await serving.memories.add(one.scope, request, actor=one.actor, release=release)


def _out(one: held.Held) -> dict[str, Any]:
    values = {name: value for name, value in vars(one).items() if name != "scope"}
    return values | asdict(one.scope)
