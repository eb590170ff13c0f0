"""Forgetting for good, and the ledger of it."""

from __future__ import annotations

import time
from asyncio import sleep
from collections.abc import AsyncIterator
from typing import Annotated, Any
from uuid import UUID, uuid4

from fastapi import APIRouter, Query, Request
from pydantic import ValidationError
from starlette.responses import Response, StreamingResponse

from memsys_api import problems
from memsys_api.access.grants import SCOPE_IDS, Access
from memsys_api.erasing import ledger
from memsys_api.problems import FORBIDDEN, NOT_FOUND, ProblemError, invalid
from memsys_api.routes.common import Admin, Json, ScopedAdmin, Serving, may_answer, read_cursor, write_cursor
from memsys_api.schemas.erasures import ErasureOut, ErasurePage, ErasureScope, LedgerLine, PageQuery, Replayed
from memsys_api.store import audit, erasures

router = APIRouter(prefix="/erasures", tags=["erasures"])

LINES = "application/x-ndjson"
_PATIENCE_SECONDS = 5.0
_LOOK_SECONDS = 0.1


@router.post(
    "",
    response_model=ErasureOut,
    responses={202: {"model": ErasureOut, "description": "It goes on; ask for it by its id"}},
)
async def erase(serving: Serving, access: ScopedAdmin, request: ErasureScope) -> Response:
    """Forget for good: all versions, their embeddings, history, graph and queues, everywhere.

    Answers the receipt, or 202 when it takes longer than a few seconds, as when a sink is away.
    """
    scope = request.given() | _granted(access, request)
    if request.everything and len(scope) > 1:
        raise ProblemError(FORBIDDEN, "everything: the key is granted for a part of the project")
    entry = await erasures.request(serving.database, access.project, uuid4(), scope, access.caller.key_id)
    serving.eraser.wake()
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        await sleep(_LOOK_SECONDS)
        found = await erasures.get(serving.database, access.project, entry.id)
        if found and found.state == "done":
            return Json(_out(found))
    return Json(_out(found or entry), status_code=202)


@router.get("", response_model=ErasurePage)
async def page(serving: Serving, access: Admin, query: Annotated[PageQuery, Query()]) -> Response:
    """The project's erasures, newest first."""
    found, following = await erasures.page(
        serving.database, access.project, limit=query.limit, before=read_cursor(query.cursor)
    )
    return Json({"results": [_out(entry) for entry in found], "next_cursor": write_cursor(following)})


@router.get("/ledger", response_class=Response, responses={200: {"content": {LINES: {}}, "description": "The ledger"}})
async def ledger_of(serving: Serving, access: Admin) -> Response:
    """Every erasure, one JSON object a line, ids and times alone: to be kept outside the database.

    Of the project, or of all when the server's admin key names none. Replay it after a restore.
    """

    async with serving.database.transaction(access.project) as conn:
        await audit.record(conn, access.project, "erasure.exported", everywhere=access.everywhere)

    async def lines() -> AsyncIterator[bytes]:
        async for entry in erasures.ledger(serving.database, None if access.everywhere else [access.project]):
            yield ledger.written(entry)

    return StreamingResponse(lines(), media_type=LINES)


_LEDGER = {
    "content": {LINES: {"schema": {"type": "string", "description": "A ledger; an empty one asks for nothing."}}}
}


@router.post("/replay", response_model=Replayed, status_code=202, openapi_extra={"requestBody": _LEDGER})
async def replay(serving: Serving, access: Admin, request: Request) -> Response:
    """Carry out a ledger's erasures once more, on what was recorded before them: after every restore.

    Any number of times; what is forgotten already stays so. All lines are read before the first is carried out.
    """
    lines = [_line(number, raw) for number, raw in enumerate((await request.body()).splitlines(), 1) if raw.strip()]
    for number, line in enumerate(lines, 1):
        if access.caller.projects is not None and line.project not in access.caller.projects:
            raise ProblemError(FORBIDDEN, f"line {number}: the key does not grant this project")
    return Json({"replayed": await serving.eraser.replay(ledger.newest(lines))}, status_code=202)


@router.get("/{erasure_id}", response_model=ErasureOut, responses=may_answer(problems.NOT_FOUND))
async def get(serving: Serving, access: ScopedAdmin, erasure_id: UUID) -> Response:
    """One erasure: how far it is, or its receipt."""
    found = await erasures.get(serving.database, access.project, erasure_id)
    if found is None or any(found.scope.get(name) != value for name, value in _grants(access).items()):
        raise ProblemError(NOT_FOUND, "there is no such erasure")
    return Json(_out(found))


def _granted(access: Access, request: ErasureScope) -> dict[str, Any]:
    """What the key narrows the scope to. Raises a ``forbidden`` problem outside of it."""
    scope = access.scope(request.user_id, request.agent_id, request.app_id, request.run_id)
    return {name: value for name in SCOPE_IDS if (value := getattr(scope, name)) is not None}


def _grants(access: Access) -> dict[str, str]:
    return {name: value for name in SCOPE_IDS if (value := getattr(access.caller, name)) is not None}


def _line(number: int, raw: bytes) -> ledger.Line:
    try:
        line = LedgerLine.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = ".".join(str(part) for part in (f"line {number}", *first["loc"]))
        raise invalid(field, first["msg"].removeprefix("Value error, ")) from None
    return ledger.Line(
        line.project, line.id, line.scope.given(), line.requested_by, line.requested_at, line.recorded_before
    )


def _out(entry: erasures.Erasure) -> dict[str, Any]:
    return {
        "id": entry.id,
        "project": entry.project,
        "scope": entry.scope,
        "state": entry.state,
        "step": entry.step,
        "waits_for": entry.waits_for,
        "requested_by": entry.requested_by,
        "requested_at": entry.requested_at,
        "recorded_before": entry.recorded_before,
        "verified_at": entry.mark,
        "finished_at": entry.finished_at,
        "receipt": entry.receipt if entry.state == "done" else None,
    }
