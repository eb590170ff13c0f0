"""Search."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from memsys_api import filters, schemas
from memsys_api.routes.common import Json, Reader, Serving, memory_out
from memsys_api.store.filters import conditions
from memsys_api.store.rows import UNSUSPECTED

router = APIRouter(tags=["search"])


@router.post("/search", response_model=schemas.SearchResults)
async def search(serving: Serving, access: Reader, request: schemas.SearchRequest) -> Response:
    """The memories that answer a query best, from vectors, words and graph together."""
    wanted = filters.parse(request.filters)
    ids = wanted.within({field: getattr(request, field) for field in filters.SCOPE_FIELDS})
    answers = await serving.searcher.search(
        access.scope(**ids),
        request.query,
        top_k=request.top_k,
        threshold=request.threshold,
        filters=[*conditions(wanted.rest), *([] if request.quarantined else [UNSUSPECTED])],
        as_of=request.as_of,
    )
    return Json(
        {
            "results": [
                memory_out(memory)
                | {"score": ranked.score, "source": ranked.sources}
                | ({"score_parts": ranked.parts} if request.explain else {})
                for ranked, memory in answers
            ]
        }
    )
