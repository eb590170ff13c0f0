"""Users, agents, apps and runs: whose memories there are."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from memsys_api import schemas
from memsys_api.problems import NOT_FOUND, ProblemError
from memsys_api.routes.common import Json, Reader, Serving, Writer, may_answer
from memsys_api.routes.mem0 import options, shapes
from memsys_api.store import listing

router = APIRouter(tags=["mem0"])

Kind = Literal["user", "agent", "app", "run"]


@router.get("/v1/entities/", response_model=shapes.Mem0EntityPage)
async def entities(
    serving: Serving, access: Reader, http: Request, query: Annotated[options.PageQuery, Query()]
) -> Response:
    """Everyone and everything of which there are memories, by kind and name."""
    count, found = await listing.entities(serving.database, access.scope(), number=query.page, size=query.page_size)
    results = [
        {
            "id": one.name,
            "name": one.name,
            "type": one.kind,
            "owner": access.project,
            "total_memories": one.memories,
            "created_at": one.created_at,
            "updated_at": one.updated_at,
        }
        for one in found
    ]
    return Json(shapes.page(http.url, query, count, results))


@router.delete("/v2/entities/{kind}/{name:path}/", response_model=schemas.Deleted, responses=may_answer(NOT_FOUND))
async def delete(serving: Serving, access: Writer, kind: Kind, name: Annotated[schemas.ScopeId, Path()]) -> Response:
    """Delete every memory of a user, agent, app or run; 404 where there never was one.

    A thousand at a time, oldest first: one that is not answered 200 may have deleted a part; repeat it for the rest.
    """
    scope = access.scope(**{f"{kind}_id": name})
    deleted = await serving.changing.delete_all(scope, actor=access.caller.key_id)
    # One whose memories are deleted already is none that is missing: mem0's clients go through a list of all of them,
    # and a user's memories may have been an agent's.
    if not deleted and not await listing.ever(serving.database, scope):
        raise ProblemError(NOT_FOUND, f"there never was a {kind} of this name with memories")
    return Json({"message": "Entity deleted successfully!", "deleted": deleted})


router.add_api_route(
    "/v1/entities/{kind}/{name:path}/",
    delete,
    methods=["DELETE"],
    response_model=schemas.Deleted,
    responses=may_answer(NOT_FOUND),
    name="delete_v1",
    deprecated=True,
)
