"""What the routes share: who asks and within what, and answers as JSON."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import Depends, Header, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.responses import Response

from memsys_api import acting, problems
from memsys_api.access.grants import Access, Right, enter
from memsys_api.access.guard import ADMIN
from memsys_api.assembling import Service
from memsys_api.middleware import ANSWER_HEADERS
from memsys_api.model import Memory, Outcome
from memsys_api.problems import FORBIDDEN, RATE_LIMITED, ProblemError, invalid
from memsys_api.runtime import Runtime
from memsys_api.schemas import Metadata
from memsys_api.schemas.quarantine import HeldResults
from memsys_api.store.add_events import AddEvent


class Json(Response):
    """An answer written by orjson."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return orjson.dumps(content)


async def service(request: Request) -> Service:
    """What serves the request. The middleware lets none through before it exists.

    Asynchronous though it waits for nothing: what is not is called in a thread.
    """
    runtime: Runtime = request.app.state.runtime
    if runtime.service is None:
        raise ProblemError(problems.NOT_READY, f"waiting for {runtime.waiting_for}", retry_after=1)
    return runtime.service


async def declared_query(request: Request) -> None:
    """Refuse a query parameter that the route does not declare, or that is given twice: neither is ever swallowed."""
    route: APIRoute = request.scope["route"]
    if not request.query_params or route.status_code == problems.NOT_SUPPORTED.status:
        return  # nothing to look at; or refused as a whole, with whatever is asked of it
    declared = _declared(route)
    for field in request.query_params:
        if field not in declared:
            raise invalid(field, "is not a parameter of this request")
        if len(request.query_params.getlist(field)) > 1:
            raise invalid(field, "was given more than once")


def _declared(route: APIRoute) -> frozenset[str]:
    """The names of a route's query parameters; those of a model are its fields."""
    names: set[str] = set()
    pending: list[Dependant] = [route.dependant]
    while pending:
        dependant = pending.pop()
        pending += dependant.dependencies
        for parameter in dependant.query_params:
            kind = parameter.field_info.annotation
            model = isinstance(kind, type) and issubclass(kind, BaseModel)
            names.update(kind.model_fields if model else [parameter.alias])  # type: ignore[union-attr]
    return frozenset(names)


def _allowed(right: Right, *, whole: bool = False) -> Callable[..., Awaitable[Access]]:
    async def dependency(
        request: Request,
        serving: Annotated[Service, Depends(service)],
        project: Annotated[
            str | None,
            Header(alias="X-Memsys-Project", description="Which of the key's projects; by default the key's own."),
        ] = None,
    ) -> Access:
        access = enter(await serving.guard.caller(request), project, right)
        if whole:
            access.whole()
        acting.actor.set(access.caller.actor)  # for this request's task alone
        await _limited(request, serving, access)
        return access

    return dependency


def standing(request: Request, serving: Service, access: Access, right: Right) -> Callable[[], Awaitable[None]]:
    """Looks whether the caller of something long would still be let in, and no further or less far than at its begin.

    To be called before each piece: what is known of a key is at most a second old, so a key that is revoked has nothing
    more read or written for it soon after. Raises what a new request would be answered.
    """

    async def check() -> None:
        now = enter(await serving.guard.caller(request), access.project, right)
        if now.scope() != access.scope():
            raise ProblemError(FORBIDDEN, "the key has come to be granted for something else meanwhile; begin again")

    return check


async def _limited(request: Request, serving: Service, access: Access) -> None:
    """Count the request against its key's limit, and tell of it in the answer's headers.

    The key's own limit is for all that it does; a project's is for each key within the project.
    """
    caller = access.caller
    if caller.key_id == ADMIN:
        return
    bucket, per_minute = caller.key_id, caller.requests_per_minute
    if per_minute is None:
        bucket = f"{bucket}/{access.project}"
        per_minute = (await serving.policies.of(access.project)).requests_per_minute
    if per_minute is None:
        return
    verdict = await serving.rates.take(bucket, per_minute)
    request.scope[ANSWER_HEADERS] = verdict.headers()
    if not verdict.allowed:
        wait = max(1, math.ceil(verdict.seconds))
        raise ProblemError(RATE_LIMITED, f"the key may make {per_minute} requests a minute; wait", retry_after=wait)


Serving = Annotated[Service, Depends(service)]
Reader = Annotated[Access, Depends(_allowed("read"))]
Writer = Annotated[Access, Depends(_allowed("write"))]
# For what concerns a project as a whole: no key is let in that is granted for one user, agent, app or run of it.
WholeReader = Annotated[Access, Depends(_allowed("read", whole=True))]
WholeWriter = Annotated[Access, Depends(_allowed("write", whole=True))]
Admin = Annotated[Access, Depends(_allowed("admin", whole=True))]
ScopedAdmin = Annotated[Access, Depends(_allowed("admin"))]  # the route itself keeps within the key's scope

_METADATA: TypeAdapter[dict[str, Any]] = TypeAdapter(Metadata)
Problems = dict[int | str, dict[str, Any]]


def may_answer(*kinds: problems.Kind) -> Problems:
    """The problems of one route beyond those that any route may answer, for OpenAPI."""
    return {kind.status: {"description": kind.title} for kind in kinds}


HELD: Problems = {202: {"model": HeldResults, "description": "Held for review, by the project's policy"}}
"""What a write may be answered where suspect ones are held."""


def memory_out(memory: Memory) -> dict[str, Any]:
    """A memory on the wire, as schemas.MemoryOut."""
    scope = memory.scope
    return {
        "id": memory.id,
        "memory": memory.text,
        "hash": memory.hash,
        "metadata": memory.metadata,
        "user_id": scope.user_id,
        "agent_id": scope.agent_id,
        "app_id": scope.app_id,
        "run_id": scope.run_id,
        "project": scope.project,
        "version": memory.version,
        "event_time": memory.event_time,
        "created_at": memory.created_at,
        "updated_at": memory.updated_at,
        "expires_at": memory.expires_at,
    }


def outcome_out(outcome: Outcome, project: str) -> dict[str, Any]:
    """What became of one statement of an add on the wire, as schemas.Added."""
    answer: dict[str, Any] = {
        "id": outcome.id,
        "memory": outcome.text,
        "event": outcome.event,
        "project": project,
        "version": outcome.version,
    }
    if outcome.previous is not None:
        answer["previous_memory"] = outcome.previous
    if outcome.inference is not None:
        answer["inference"] = outcome.inference
    return answer


def bounded(ids: Mapping[str, str | None]) -> None:
    """Refuse to delete a whole scope that the request itself does not name by any id.

    What a key is granted for is no wish to delete it. Raises an ``invalid-request`` problem.
    """
    if not any(ids.values()):
        raise invalid("user_id", "give at least one of user_id, agent_id, app_id and run_id")


def read_filters(text: str | None) -> dict[str, Any] | None:
    """A filter written as JSON in a query parameter. Raises an ``invalid-request`` problem for anything else."""
    if text is None:
        return None
    try:
        raw = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise invalid("filters", "is not JSON; write the filter as a JSON object") from None
    if not isinstance(raw, dict) or not raw:
        raise invalid("filters", "must be a JSON object with at least one entry")
    try:
        return _METADATA.validate_python(raw)
    except ValidationError as error:
        raise invalid("filters", error.errors()[0]["msg"].removeprefix("Value error, ")) from None


def held_out(
    project: str, review: UUID, memory_id: UUID | None, findings: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """A write that waits for review on the wire, as schemas.quarantine.HeldAnswer."""
    return {"event": "HELD", "review_id": review, "memory_id": memory_id, "project": project, "findings": findings}


def event_out(event: AddEvent, project: str) -> dict[str, Any]:
    """An add to follow on the wire, as schemas.submissions.AddEventOut."""
    return {
        "id": event.id,
        "status": event.state,
        "results": [outcome_out(outcome, project) for outcome in event.outcomes],
        "error": event.error,
        "review_id": event.review_id,
        "created_at": event.created_at,
        "finished_at": event.finished_at,
    }


def write_cursor(position: int | None) -> str | None:
    """A place in a listing, opaque to its reader."""
    return None if position is None else f"c{position:x}"


def read_cursor(cursor: str | None) -> int | None:
    """The place a cursor names. Raises an ``invalid-request`` problem for anything else."""
    if cursor is None:
        return None
    try:
        position = int(cursor.removeprefix("c"), 16) if cursor.startswith("c") and len(cursor) <= 17 else -1
    except ValueError:
        position = -1
    if not 0 <= position < 2**63:
        raise invalid("cursor", "is not a cursor of this API; use next_cursor of the page before")
    return position
