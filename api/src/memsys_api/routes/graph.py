"""The graph: how far behind it is, driving it, and where it differs."""

from __future__ import annotations

import asyncio
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.responses import Response

from memsys_api import problems, schemas
from memsys_api.access.grants import Access
from memsys_api.ports import SinkUnavailable
from memsys_api.problems import NOT_FOUND, UNAVAILABLE, ProblemError
from memsys_api.routes.common import Json, Serving, WholeReader, WholeWriter, may_answer
from memsys_api.runtime import Graph, Service
from memsys_api.sinks import drift
from memsys_api.store import audit, deliveries, records

router = APIRouter(prefix="/graph", tags=["graph"])

_SYNC_SECONDS = 20.0


@router.get("/status", response_model=schemas.GraphStatus)
async def status(serving: Serving, access: WholeReader) -> Response:
    """How far the graph is behind: of the project, or of all when the admin key names none."""
    graph = serving.graph
    if graph is None:
        return Json(
            {"provider": "none", "available": False, "pending": 0, "parked": 0, "lag_seconds": 0.0, "last_error": None}
        )
    queue = await deliveries.status(serving.database, graph.sink.name, _project(access))
    return Json(
        {
            "provider": serving.settings.graph_store,
            "available": graph.breaker.closed,
            "pending": queue.pending,
            "parked": queue.parked,
            "lag_seconds": queue.lag_seconds,
            "last_error": queue.last_error,
        }
    )


@router.post("/sync", response_model=schemas.GraphSync, responses=may_answer(problems.NOT_FOUND))
async def sync(
    serving: Serving,
    access: WholeWriter,
    memory_id: Annotated[UUID | None, Query(description="Only this memory, whether or not it is queued.")] = None,
) -> Response:
    """Drive the graph at once: queue parked memories again and apply what is due, for up to 20 seconds.

    With `memory_id`, that memory of the project is applied afresh, which mends what `/graph/drift` found.
    """
    graph = serving.graph
    if graph is None:
        return Json({"applied": 0, "pending": 0, "parked": 0, "requeued": 0, "last_error": None})
    name, project = graph.sink.name, _project(access)
    async with serving.database.transaction(access.project) as conn:
        await audit.record(conn, access.project, "graph.synced", memory_id, everywhere=access.everywhere)
    if memory_id is not None:
        project = access.project
        try:
            await _enqueue(serving, graph, project, memory_id)
        except SinkUnavailable as error:
            raise _away() from error
    requeued = await deliveries.requeue(serving.database, name, project, memory_id)
    applied = 0
    try:
        async with asyncio.timeout(_SYNC_SECONDS):
            applied = await graph.dispatcher.drain((project, memory_id) if project and memory_id else None)
    except TimeoutError:
        graph.dispatcher.wake()  # the background goes on where this ends
    queue = await deliveries.status(serving.database, name, project)
    return Json(
        {
            "applied": applied,
            "pending": queue.pending,
            "parked": queue.parked,
            "requeued": requeued,
            "last_error": queue.last_error,
        }
    )


@router.get("/drift", response_model=schemas.GraphDrift)
async def differences(
    serving: Serving,
    access: WholeReader,
    limit: Annotated[int, Query(ge=1, le=100_000, description="About how many memories to compare at most.")] = 20_000,
) -> Response:
    """Compare the graph's real contents with PostgreSQL's, memory by memory; queued ones are left out."""
    graph = serving.graph
    found = drift.Drift()
    if graph is not None:
        projects = await records.projects(serving.database) if access.everywhere else [access.project]
        try:
            found = await drift.compare(serving.database, graph.sink, projects, limit)
        except SinkUnavailable as error:
            raise _away() from error
    return Json(
        {
            "provider": serving.settings.graph_store,
            "checked": found.checked,
            "missing": found.missing,
            "stale": found.stale,
            "unexpected": found.unexpected,
            "complete": found.complete,
            "samples": [difference._asdict() for difference in found.samples],
        }
    )


def _away() -> ProblemError:
    return ProblemError(UNAVAILABLE, "the graph does not answer; try again", retry_after=5)


def _project(access: Access) -> str | None:
    return None if access.everywhere else access.project


async def _enqueue(serving: Service, graph: Graph, project: str, memory_id: UUID) -> None:
    """Make a memory's newest state due, also when nothing is known to be wrong with it.

    One that only the graph holds is due as its deletion.
    """
    newest = (await records.newest(serving.database, project, [memory_id])).get(memory_id)
    version = newest.version if newest else await drift.version_in(graph.sink, project, memory_id)
    if version is None:
        raise ProblemError(NOT_FOUND, "there is no such memory")
    async with serving.database.transaction(project) as conn:
        await deliveries.enqueue(conn, project, [graph.sink.name], [(memory_id, version)])
