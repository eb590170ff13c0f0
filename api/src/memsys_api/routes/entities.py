"""Entities: which there are, which names are one, and how they hang together."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import AfterValidator, Field
from starlette.responses import Response

from memsys_api import extraction, problems
from memsys_api.flows.exploring import When
from memsys_api.problems import NOT_FOUND, FieldError, ProblemError, invalid
from memsys_api.routes.common import Json, Reader, Serving, WholeWriter, may_answer, memory_out
from memsys_api.schemas import entities as wire
from memsys_api.schemas.fields import Moment, ScopeId, storable
from memsys_api.store import entities, merges

router = APIRouter(tags=["graph"])

EntityKey = Annotated[
    str, AfterValidator(storable), Path(max_length=500, description="The entity's key or any spelling of its name.")
]
UserId = Annotated[ScopeId | None, Query(description="Only memories about this user.")]
AgentId = Annotated[ScopeId | None, Query(description="Only memories that this agent keeps.")]
AsOf = Annotated[Moment | None, Query(description="Answer from what was recorded at this moment.")]
ValidAt = Annotated[Moment | None, Query(description="Only what holds in the world at this moment.")]
Depth = Annotated[int, Query(ge=1, le=4, description="How many statements away at most.")]
PathDepth = Annotated[int, Query(ge=1, le=6, description="How many statements a path may have.")]
Limit = Annotated[int, Query(ge=1, le=200)]
Words = Annotated[str, Field(max_length=200), AfterValidator(storable)]
Cursor = Annotated[str, Field(max_length=500), AfterValidator(storable)]

_REFUSALS = {
    "unknown-from": ("from", "is not the name of an entity of this project"),
    "unknown-into": ("into", "is not the name of an entity of this project"),
    "same": ("into", "is the same entity; give two"),
    "merged": ("from", "is merged already; unmerge it first"),
    "circle": ("into", "is merged into the other one; unmerge it first"),
}


@router.get("/entities", response_model=wire.EntityPage)
async def listed(
    serving: Serving,
    access: Reader,
    user_id: UserId = None,
    agent_id: AgentId = None,
    query: Annotated[Words | None, Query(description="Only those whose key, or a merged one's, contains this.")] = None,
    limit: Limit = 50,
    cursor: Annotated[Cursor | None, Query(description="`next_cursor` of the page before.")] = None,
) -> Response:
    """What the memories speak of: entities in the order of their keys, with the names that were merged into them."""
    found = await entities.page(
        serving.database,
        access.scope(user_id, agent_id),
        query=_key("query", query) if query else None,
        limit=limit,
        after=cursor,
    )
    return Json(
        {
            "results": [asdict(one) for one in found],
            "next_cursor": found[-1].key if len(found) == limit else None,
        }
    )


@router.post("/entities/merge", response_model=wire.Merged, responses=may_answer(NOT_FOUND))
async def merge(serving: Serving, access: WholeWriter, request: wire.MergeRequest) -> Response:
    """Let one name stand for another entity of the project. Nothing is rewritten: `/entities/unmerge` takes it back."""
    source, target = _key("from", request.from_), _key("into", request.into)
    await serving.gate.refuse(access.project, [("reason", request.reason)])
    async with serving.database.transaction(access.project) as conn:
        await merges.alone(conn, access.project)
        refusal = await merges.merge(
            conn, access.project, source, target, reason=request.reason, actor=access.caller.key_id
        )
        if refusal is not None:
            field, message = _REFUSALS[refusal]
            kind = NOT_FOUND if refusal.startswith("unknown") else problems.INVALID_REQUEST
            raise ProblemError(kind, f"{field}: {message}", errors=[FieldError(field, message)])
        again = await _deliver_again(serving, conn, access.project, source)
    _wake(serving)
    return Json({"from": source, "into": target, "memories": again})


@router.post("/entities/unmerge", response_model=wire.Merged, responses=may_answer(NOT_FOUND))
async def unmerge(serving: Serving, access: WholeWriter, request: wire.UnmergeRequest) -> Response:
    """End a merge: the name is an entity of its own again, with all that was ever said of it."""
    source = _key("from", request.from_)
    async with serving.database.transaction(access.project) as conn:
        await merges.alone(conn, access.project)
        target = await merges.unmerge(conn, access.project, source)
        if target is None:
            raise ProblemError(
                NOT_FOUND, "from: is not merged", errors=[FieldError("from", "is not merged into another entity")]
            )
        again = await _deliver_again(serving, conn, access.project, source)
    _wake(serving)
    return Json({"from": source, "into": target, "memories": again})


@router.get(
    "/graph/entities/{entity_key:path}/neighbours", response_model=wire.Neighbours, responses=may_answer(NOT_FOUND)
)
async def neighbours(
    serving: Serving,
    access: Reader,
    entity_key: EntityKey,
    user_id: UserId = None,
    agent_id: AgentId = None,
    as_of: AsOf = None,
    valid_at: ValidAt = None,
    depth: Depth = 1,
    limit: Limit = 50,
) -> Response:
    """Which entities are related to one, directly or over others, nearest first."""
    scope = access.scope(user_id, agent_id)
    found = await serving.explorer.neighbours(scope, entity_key, When(as_of, valid_at), depth=depth, limit=limit)
    return Json(
        {
            "entity": asdict(found.entity),
            "results": [{**asdict(one), "distance": steps} for one, steps in found.distances],
            "statements": [asdict(one) for one in found.statements],
            "complete": found.complete,
        }
    )


@router.get("/graph/paths", response_model=wire.Paths, responses=may_answer(NOT_FOUND))
async def paths(
    serving: Serving,
    access: Reader,
    from_: Annotated[wire.Name, Query(alias="from", description="One entity.")],
    to: Annotated[wire.Name, Query(description="The other entity.")],
    user_id: UserId = None,
    agent_id: AgentId = None,
    as_of: AsOf = None,
    valid_at: ValidAt = None,
    depth: PathDepth = 4,
    limit: Limit = 10,
) -> Response:
    """How two entities hang together: the shortest paths over what is stated between entities."""
    scope = access.scope(user_id, agent_id)
    found = await serving.explorer.paths(scope, from_, to, When(as_of, valid_at), depth=depth, limit=limit)
    return Json(
        {
            "results": [[asdict(one) for one in way] for way in found.ways],
            "statements": [asdict(one) for one in found.statements],
            "complete": found.complete,
        }
    )


@router.get("/graph/entities/{entity_key:path}/timeline", response_model=wire.Timeline, responses=may_answer(NOT_FOUND))
async def timeline(
    serving: Serving,
    access: Reader,
    entity_key: EntityKey,
    user_id: UserId = None,
    agent_id: AgentId = None,
    as_of: AsOf = None,
    limit: Limit = 50,
) -> Response:
    """What became of an entity: memories that mention it, and what was stated of it, ended statements too."""
    scope = access.scope(user_id, agent_id)
    found = await serving.explorer.timeline(scope, entity_key, When(as_of), limit=limit)
    return Json(
        {
            "entity": asdict(found.entity),
            "memories": [memory_out(memory) for memory in found.memories],
            "statements": [asdict(one) for one in found.statements],
        }
    )


async def _deliver_again(serving: Serving, conn: Any, project: str, source: str) -> int:
    """Make due in the graph whatever speaks of a name or of those that were merged into it."""
    if serving.graph is None:
        return 0
    names = await merges.names_of(conn, project, [source])
    return len(await merges.enqueue_speaking_of(conn, project, [serving.graph.sink.name], names))


def _wake(serving: Serving) -> None:
    if serving.graph is not None:
        serving.graph.dispatcher.wake()


def _key(field: str, name: str) -> str:
    key = extraction.normalise(name)
    if not key:
        raise invalid(field, "must name an entity")
    return key
