"""The graph: how far behind it is, driving it, where it differs, and building it anew."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.responses import Response

from memsys_api import problems
from memsys_api.access.grants import PROJECT_NAME, Access
from memsys_api.assembling import Service
from memsys_api.flows.feeding import Graph, drive, queue_afresh
from memsys_api.problems import ProblemError, invalid, no_such_memory
from memsys_api.routes.common import Admin, Json, Serving, WholeReader, WholeWriter, may_answer
from memsys_api.schemas import graph as wire
from memsys_api.sinks import drift
from memsys_api.store import audit, deliveries, rebuilds, records

router = APIRouter(prefix="/graph", tags=["graph"])


@router.get("/status", response_model=wire.GraphStatus)
async def status(serving: Serving, access: WholeReader) -> Response:
    """How far the graph is behind: of the project, or of all when the admin key names none."""
    graph = serving.graph
    if graph is None:
        return Json(
            {"provider": "none", "available": False, "pending": 0, "parked": 0, "lag_seconds": 0.0, "last_error": None}
        )
    queue = await deliveries.status(serving.database, graph.sink.name, access.asked_about)
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


@router.post("/sync", response_model=wire.GraphSync, responses=may_answer(problems.NOT_FOUND))
async def sync(
    serving: Serving,
    access: WholeWriter,
    memory_id: Annotated[UUID | None, Query(description="Only this memory, whether or not it is queued.")] = None,
    sweep: Annotated[bool, Query(description="Also remove from the project's graph what no memory supports.")] = False,
) -> Response:
    """Drive the graph at once: queue parked memories again and apply what is due, for up to 20 seconds.

    Of the project, or of all when the admin key names none.

    With `memory_id`, that memory of the project is applied afresh, which mends what `/graph/drift` found.
    """
    graph = serving.graph
    if graph is None:
        return Json({"applied": 0, "pending": 0, "parked": 0, "requeued": 0, "swept": 0, "last_error": None})
    project = access.asked_about
    async with serving.database.transaction(access.project) as conn:
        await audit.record(conn, access.project, "graph.synced", memory_id, everywhere=access.everywhere)
    swept = 0
    if memory_id is not None:
        project = access.project
        if not await queue_afresh(serving.database, graph, project, memory_id):
            raise no_such_memory()
    if sweep:
        swept = await graph.sink.sweep(access.project)
    return Json(await drive(serving.database, graph, project, memory_id) | {"swept": swept})


@router.get("/drift", response_model=wire.GraphDrift)
async def differences(
    serving: Serving,
    access: WholeReader,
    ranges: Annotated[int, Query(ge=1, le=200, description="How many ranges of up to 500 memories to compare.")] = 40,
    cursor: Annotated[str | None, Query(description="Where the call before ended; by default the beginning.")] = None,
) -> Response:
    """Compare the graph's real contents with PostgreSQL's by ranges of ids, and those that differ memory by memory.

    Queued memories are left out. Call again with `cursor` until it is null: then all was compared once.
    """
    graph = serving.graph
    found = drift.Drift()
    start = _place(cursor)
    if graph is not None:
        projects = await _projects(serving, graph, access)
        found = await drift.compare(serving.database, graph.sink, projects, start, ranges)
    return Json(
        {
            "provider": serving.settings.graph_store,
            "checked": found.checked,
            "ranges": found.ranges,
            "differing": found.differing,
            "missing": found.missing,
            "stale": found.stale,
            "unexpected": found.unexpected,
            "strays": found.strays,
            "complete": found.place is None,
            "cursor": found.place and f"{found.place.project}/{found.place.after or ''}",
            "samples": [difference._asdict() for difference in found.samples],
        }
    )


@router.post(
    "/rebuild", status_code=202, response_model=wire.GraphRebuilds, responses=may_answer(problems.NOT_SUPPORTED)
)
async def rebuild(serving: Serving, access: Admin) -> Response:
    """Build the graph anew from PostgreSQL: the project's, or all when the admin key names none.

    Every memory is applied again and what only the graph holds is removed, while the graph is read. Goes on over
    restarts; ask `GET /graph/rebuild` how far it is. Asking for one that is under way changes nothing.
    """
    graph = serving.graph
    if graph is None:
        raise ProblemError(
            problems.NOT_SUPPORTED, "there is no graph to build: GRAPH_STORE is none; set it to neo4j or neptune"
        )
    async with serving.database.transaction(access.project) as conn:
        await audit.record(conn, access.project, "graph.rebuilt", everywhere=access.everywhere)
    await graph.rebuilder.request(await _projects(serving, graph, access))
    return Json(await _rebuilds(serving, graph, access), 202)


@router.get("/rebuild", response_model=wire.GraphRebuilds)
async def rebuilding(serving: Serving, access: WholeReader) -> Response:
    """How far the rebuilds are: the project's, or all when the admin key names none."""
    graph = serving.graph
    return Json({"results": []} if graph is None else await _rebuilds(serving, graph, access))


async def _rebuilds(serving: Service, graph: Graph, access: Access) -> dict[str, Any]:
    found = await rebuilds.listed(serving.database, graph.sink.name, access.asked_about)
    return {"results": [asdict(one) for one in found]}


async def _projects(serving: Service, graph: Graph, access: Access) -> list[str]:
    """The key's project; for system-wide questions all that either store knows."""
    if not access.everywhere:
        return [access.project]
    return sorted({*await records.projects(serving.database), *await graph.sink.projects()})


def _place(cursor: str | None) -> drift.Place | None:
    if cursor is None:
        return None
    project, slash, after = cursor.partition("/")
    try:
        if slash and PROJECT_NAME.fullmatch(project):
            return drift.Place(project, UUID(after) if after else None)
    except ValueError:
        pass
    raise invalid("cursor", "is not a cursor of this API; use the cursor of the answer before")
