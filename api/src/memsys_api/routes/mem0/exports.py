"""Exports of memories in the shape that the caller asks for, as mem0's clients ask for them and fetch them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from memsys_api import filters, problems
from memsys_api.filters import Filters
from memsys_api.problems import invalid
from memsys_api.routes.common import Json, Reader, Serving, Writer, may_answer
from memsys_api.schemas.shaping import Mem0Export, Mem0ExportAsked, Mem0ExportQuery

router = APIRouter(tags=["mem0"])


@router.post(
    "/v1/exports/",
    status_code=202,
    response_model=Mem0ExportAsked,
    responses=may_answer(problems.NOT_FOUND, problems.LIMIT_REACHED, problems.NOT_SUPPORTED),
)
async def ask(serving: Serving, access: Writer, request: Mem0Export) -> Response:
    """Have the language model bring memories into the shape of a JSON Schema; fetched with `/v1/exports/get/`."""
    wanted, ids = _wanted(request)
    export_id = await serving.shaping.ask(
        access.scope(**ids),
        wanted,
        request.filters,
        request.shape,
        request.export_instructions,
        actor=access.caller.key_id,
    )
    return Json(
        {"id": export_id, "message": "Memory export request received. Fetch it by its id or its filters."},
        status_code=202,
    )


@router.post(
    "/v1/exports/get/",
    response_model=dict[str, Any],
    responses=may_answer(problems.NOT_FOUND, problems.EXPORT_WAITS, problems.EXPORT_FAILED),
)
async def fetch(serving: Serving, access: Reader, request: Mem0ExportQuery) -> Response:
    """The object that was made. While it is not there yet the answer is 409 `export-waits`: ask again."""
    wanted, ids = _wanted(request)
    if request.memory_export_id is None and not wanted.ids and wanted.rest is None and not any(ids.values()):
        raise invalid("memory_export_id", "give the export's id, or the filters that it was asked for with")
    if request.memory_export_id is not None:
        return Json(await serving.shaping.fetch(access.scope(**ids), export_id=request.memory_export_id))
    return Json(await serving.shaping.fetch(access.scope(**ids), wanted=wanted))


def _wanted(request: Mem0Export | Mem0ExportQuery) -> tuple[Filters, dict[str, str | None]]:
    """The filter, and the ids, which stand at the top or within it."""
    wanted = filters.parse(request.filters)
    return wanted, wanted.within({field: getattr(request, field) for field in filters.SCOPE_FIELDS})
