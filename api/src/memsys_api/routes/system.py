"""The server itself: alive, ready, measured, described."""

from __future__ import annotations

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from memsys_api import __version__, metrics, problems, schemas
from memsys_api.problems import ProblemError
from memsys_api.routes.common import Json, Reader, Serving, may_answer, service
from memsys_api.store import inferences
from memsys_api.store.database import DatabaseUnavailable

router = APIRouter(tags=["system"])


@router.get("/healthz", response_model=schemas.Health)
async def alive() -> Response:
    """The process is alive, whatever it may be waiting for."""
    return Json({"status": "ok"})


@router.get("/readyz", response_model=schemas.Health, responses=may_answer(problems.NOT_READY))
async def ready(request: Request) -> Response:
    """Requests are served; otherwise 503 says what is waited for."""
    if request.app.state.runtime.leaving:
        raise ProblemError(problems.NOT_READY, "leaving: this replica was told to stop", retry_after=1)
    try:
        await (await service(request)).database.ping()
    except DatabaseUnavailable as error:
        raise ProblemError(
            problems.NOT_READY, "waiting for PostgreSQL, which does not answer", retry_after=1
        ) from error
    return Json({"status": "ok"})


@router.get("/metrics", response_class=Response)
async def measurements(request: Request) -> Response:
    """Metrics for Prometheus."""
    running = request.app.state.runtime.service
    if running is not None:
        stats = running.database.stats()
        metrics.POOL.labels("open").set(stats.get("pool_size", 0))
        metrics.POOL.labels("idle").set(stats.get("pool_available", 0))
        metrics.POOL.labels("waiting").set(stats.get("requests_waiting", 0))
    return Response(metrics.render(), media_type=CONTENT_TYPE_LATEST)


@router.get("/info", response_model=schemas.Info)
async def info(serving: Serving, access: Reader) -> Response:
    """What this server is made of; any key may ask."""
    settings = serving.settings
    queue = None
    if not access.in_part:
        queue = await inferences.status(serving.database, access.asked_about)
    model = serving.backfill.state() if serving.backfill else None
    return Json(
        {
            "version": __version__,
            "embedder": {
                "provider": serving.generation.provider,
                "model": serving.generation.model,
                "dimensions": serving.generation.dimensions,
                "precision": serving.generation.precision,
                "index": settings.vector_index,
            },
            "graph": {
                "provider": settings.graph_store,
                "available": serving.graph is not None and serving.graph.breaker.closed,
            },
            "llm": {
                "provider": settings.llm_provider,
                "model": model.model if model else settings.llm_model,
                "available": model is not None and model.available,
                "retry_after": model.retry_after if model else None,
                "last_error": model.last_error if model else None,
                "pending": queue.pending if queue else None,
                "parked": queue.parked if queue else None,
            },
        }
    )
