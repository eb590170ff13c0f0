"""Search."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from memsys_api import filters, problems, schemas
from memsys_api.flows.searching import Searcher
from memsys_api.problems import NOT_SUPPORTED, FieldError, ProblemError
from memsys_api.routes.common import Json, Reader, Serving, may_answer, memory_out
from memsys_api.store.filters import conditions
from memsys_api.store.rows import UNSUSPECTED

router = APIRouter(tags=["search"])


NO_RERANKER = "there is no reranker (RERANKER_PROVIDER is none); results are ranked already"


def reranks(searcher: Searcher, wanted: bool | None) -> bool:
    """Whether to rerank. Raises a ``not-supported`` problem where that is asked for and cannot be."""
    if wanted and not searcher.reranks:
        raise ProblemError(NOT_SUPPORTED, f"rerank: {NO_RERANKER}", errors=[FieldError("rerank", NO_RERANKER)])
    return wanted is not False


@router.post("/search", response_model=schemas.SearchResults, responses=may_answer(problems.NOT_SUPPORTED))
async def search(serving: Serving, access: Reader, request: schemas.SearchRequest) -> Response:
    """The memories that answer a query best, from vectors, words and graph together."""
    wanted = filters.parse(request.filters)
    ids = wanted.within({field: getattr(request, field) for field in filters.SCOPE_FIELDS})
    answer = await serving.searcher.search(
        access.scope(**ids),
        request.query,
        top_k=request.top_k,
        threshold=request.threshold,
        filters=[*conditions(wanted.rest), *([] if request.quarantined else [UNSUSPECTED])],
        as_of=request.as_of,
        rerank=reranks(serving.searcher, request.rerank),
    )
    did = answer.reranking
    told = {"provider": did.provider, "model": did.model, "outcome": did.outcome, "detail": did.detail} if did else None
    return Json(
        {
            "results": [
                memory_out(memory)
                | {"score": ranked.score, "source": ranked.sources}
                | ({"score_parts": ranked.parts} if request.explain else {})
                for ranked, memory in answer.hits
            ]
        }
        | ({"reranking": told} if request.explain else {})
    )
