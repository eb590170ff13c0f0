"""What is fed from PostgreSQL: how far behind it is, and driving it."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.responses import Response

from memsys_api import problems
from memsys_api.assembling import Service
from memsys_api.flows.feeding import Fed, drive, queue_afresh
from memsys_api.ports import Sink
from memsys_api.problems import NOT_FOUND, ProblemError, invalid, no_such_memory
from memsys_api.routes.common import Admin, Json, Serving, WholeReader, WholeWriter, may_answer
from memsys_api.schemas.sinks import SinkCount, SinkStatus, SinkSync
from memsys_api.store import audit, deliveries, fills, records
from memsys_api.store.embeddings import Embeddings

router = APIRouter(prefix="/sinks", tags=["sinks"])


@router.get("", response_model=list[SinkStatus])
async def status(serving: Serving, access: WholeReader) -> Response:
    """How far each sink is behind: of the project, or of all when the admin key names none."""
    return Json([await _status(serving, fed, access.asked_about) for fed in serving.fed])


@router.post("/{name}/sync", response_model=SinkSync, responses=may_answer(problems.NOT_FOUND))
async def sync(
    serving: Serving,
    access: WholeWriter,
    name: str,
    memory_id: Annotated[UUID | None, Query(description="Only this memory, whether or not it is queued.")] = None,
) -> Response:
    """Drive a sink at once: queue what is parked again and apply what is due, for up to 20 seconds.

    Of the project, or of all when the admin key names none.
    """
    fed, project = _sink(serving, name), access.asked_about
    async with serving.database.transaction(access.project) as conn:
        await audit.record(conn, access.project, "sink.synced", memory_id, sink=name, everywhere=access.everywhere)
    if memory_id is not None:
        project = access.project
        if not await queue_afresh(serving.database, fed, project, memory_id):
            raise no_such_memory()
    return Json(await drive(serving.database, fed, project, memory_id))


@router.post("/{name}/refill", response_model=SinkStatus, responses=may_answer(problems.NOT_FOUND))
async def refill(serving: Serving, access: Admin, name: str) -> Response:
    """Bring every memory of all projects to a vector index again, in the background; PostgreSQL searches meanwhile.

    Needs the admin key, without X-Memsys-Project.
    """
    fed = _sink(serving, name)
    if serving.vectors is None or fed is not serving.vectors:
        raise invalid("name", "only an external vector index is filled; for the graph there is POST /graph/sync")
    if not access.everywhere:
        raise ProblemError(
            problems.FORBIDDEN, "a refill is of all projects; use the admin key, without X-Memsys-Project"
        )
    async with serving.database.transaction(access.project) as conn:
        await audit.record(conn, access.project, "sink.refilled", sink=name)
    await fills.begin(serving.database, name, serving.vectors.sink.target, anew=True)
    serving.vectors.filling.filled = False
    return Json(await _status(serving, fed, None))


@router.get("/{name}/count", response_model=SinkCount, responses=may_answer(problems.NOT_FOUND, problems.UNAVAILABLE))
async def count(serving: Serving, access: Admin, name: str) -> Response:
    """How many memories of all projects a vector index should hold, and how many it does. Counts; takes its time."""
    found, vectors = _sink(serving, name), serving.vectors
    if vectors is None or vectors is not found:
        raise invalid("name", "only an external vector index is counted; for the graph there is GET /graph/drift")
    if not access.everywhere:
        raise ProblemError(
            problems.FORBIDDEN, "the index is counted over all projects; use the admin key, without X-Memsys-Project"
        )
    held = await vectors.sink.count()
    embeddings = Embeddings(serving.database, serving.generation)
    expected = [await embeddings.count(project) for project in await records.projects(serving.database)]
    queue = await deliveries.status(serving.database, name)
    return Json(
        {
            "provider": serving.settings.vector_store,
            "expected": sum(expected),
            "held": held,
            "queued": queue.pending + queue.parked,
        }
    )


async def _status(serving: Service, fed: Fed[Sink], project: str | None) -> dict[str, object]:
    queue = await deliveries.status(serving.database, fed.sink.name, project)
    external = serving.vectors is not None and fed is serving.vectors
    return {
        "name": fed.sink.name,
        "provider": serving.settings.vector_store if external else serving.settings.graph_store,
        "available": fed.breaker.closed,
        "filled": not external or serving.vectors is None or serving.vectors.filling.filled,
        "pending": queue.pending,
        "parked": queue.parked,
        "lag_seconds": queue.lag_seconds,
        "last_error": queue.last_error,
    }


def _sink(serving: Service, name: str) -> Fed[Sink]:
    for fed in serving.fed:
        if fed.sink.name == name:
            return fed
    known = ", ".join(fed.sink.name for fed in serving.fed) or "none"
    raise ProblemError(NOT_FOUND, f"there is no sink of this name; there are: {known}")
