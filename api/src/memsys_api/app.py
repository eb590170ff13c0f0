"""The web application: routes, errors and the life of what serves them."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.responses import Response

from memsys_api import __version__, metrics, problems
from memsys_api.assembling import Makers
from memsys_api.causes import in_one_line
from memsys_api.middleware import Envelope
from memsys_api.openapi import document as openapi
from memsys_api.ports import EmbedderRejected, EmbedderUnavailable, SinkUnavailable
from memsys_api.problems import FieldError, ProblemError, render
from memsys_api.quarantine.gate import HeldForReview
from memsys_api.routes import (
    audit,
    changes,
    entities,
    erasures,
    export,
    graph,
    keys,
    mem0,
    memories,
    policy,
    quarantine,
    search,
    sinks,
    submissions,
    system,
    webhooks,
)
from memsys_api.routes.common import Json, declared_query, held_out
from memsys_api.runtime import Runtime
from memsys_api.settings import Settings
from memsys_api.store.database import DatabaseUnavailable, LimitExceeded, StatementTimeout
from memsys_api.store.past import Unsettled

log = logging.getLogger(__name__)

_RETRY_AFTER = 1
_MOST_ERRORS = 100
"""Fields at fault that one answer names: a body may hold nothing else, and its answer be many times as long."""
_SINK_RETRY_AFTER = 5


def create(settings: Settings, makers: Makers | None = None) -> FastAPI:
    """The application for these settings. It answers /healthz at once and everything else when it can."""
    runtime = Runtime(settings, makers or Makers())

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        runtime.start()
        yield
        await runtime.stop()

    app = FastAPI(
        title="memsys",
        version=__version__,
        summary="Long-term memory for AI agents.",
        lifespan=lifespan,
        redirect_slashes=False,
        redoc_url=None,
        dependencies=[Depends(declared_query)],
    )
    app.state.runtime = runtime
    for module in (
        memories,
        search,
        submissions,
        keys,
        policy,
        audit,
        export,
        erasures,
        quarantine,
        graph,
        changes,
        sinks,
        entities,
        webhooks,
        mem0,
        system,
    ):
        app.include_router(module.router)
    app.add_middleware(
        Envelope,
        runtime=runtime,
        max_body_bytes=settings.max_body_bytes,
        seconds=settings.request_timeout_seconds,
        send_seconds=settings.send_timeout_seconds,
    )
    for exception, handler in _HANDLERS.items():
        app.add_exception_handler(exception, handler)
    openapi.install(app)
    return app


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)
    if error.kind in problems.OF_CALLERS:
        metrics.REFUSED.labels(error.kind.slug).inc()
    return render(error, request.url.path)


async def _validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [FieldError(_field(problem), _message(problem)) for problem in error.errors()[:_MOST_ERRORS]]
    detail = "; ".join(f"{e.field}: {e.message}" for e in errors[:5])
    return render(ProblemError(problems.INVALID_REQUEST, detail, errors=errors), request.url.path)


def _field(problem: dict[str, Any]) -> str:
    """The field's name, without where in the request it stood and without the tags of unions, which are in <>."""
    if problem["type"] == "json_invalid":
        return "body"  # the place that is named is a character's
    return ".".join(str(part) for part in problem["loc"][1:] if not str(part).startswith("<")) or "body"


def _message(problem: dict[str, Any]) -> str:
    if problem["type"] == "extra_forbidden":
        return "is not a field of this request"
    if problem["type"] == "missing":
        return "is required"
    if problem["type"] == "json_invalid":
        return f"is not JSON: {problem['ctx']['error']} (character {problem['loc'][1]}); must be a JSON object"
    if problem["type"] == "model_attributes_type":
        return "must be a JSON object, sent with Content-Type: application/json"
    return str(problem["msg"]).removeprefix("Value error, ")


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    kind = {404: problems.NOT_FOUND, 405: problems.METHOD_NOT_ALLOWED}.get(error.status_code, problems.INVALID_REQUEST)
    answer = render(ProblemError(kind, str(error.detail)), request.url.path)
    answer.headers.update(error.headers or {})
    if kind is problems.METHOD_NOT_ALLOWED:
        answer.headers["Allow"] = ", ".join(_methods_of(request))
    return answer


def _methods_of(request: Request) -> list[str]:
    """The methods of a path, which may be those of several routes."""
    methods: set[str] = set()
    for route in iter_route_contexts(request.app.routes):
        if route.path_regex is not None and route.path_regex.match(request.url.path):
            methods |= set(route.methods or ())
    return sorted(methods)


async def _database(request: Request, error: Exception) -> Response:
    log.warning("database unavailable", extra={"reason": in_one_line(error)})
    detail = "the database does not answer in time; try again"
    return render(ProblemError(problems.UNAVAILABLE, detail, retry_after=_RETRY_AFTER), request.url.path)


async def _unsettled(request: Request, error: Exception) -> Response:
    detail = "as_of: a write that began before this moment is still under way; try again, or ask for an earlier moment"
    return render(ProblemError(problems.UNAVAILABLE, detail, retry_after=_RETRY_AFTER), request.url.path)


async def _too_large(request: Request, error: Exception) -> Response:
    detail = f"the request holds something that the database cannot take: {error}; send shorter ids, names and texts"
    return render(ProblemError(problems.INVALID_REQUEST, detail), request.url.path)


async def _embedder_away(request: Request, error: Exception) -> Response:
    log.warning("embedder unavailable", extra={"reason": in_one_line(error)})
    detail = "the embedding provider does not answer; try again"
    return render(ProblemError(problems.UNAVAILABLE, detail, retry_after=_RETRY_AFTER), request.url.path)


async def _embedder_refused(request: Request, error: Exception) -> Response:
    log.error("embedder refused", extra={"reason": in_one_line(error)})
    detail = "the embedding provider refused the call; the server's EMBEDDER_ settings need a look"
    return render(ProblemError(problems.EMBEDDER_REJECTED, detail), request.url.path)


async def _sink_away(request: Request, error: Exception) -> Response:
    log.warning("sink unavailable", extra={"reason": in_one_line(error)})
    detail = "what this needs besides PostgreSQL, the graph or the vector index, does not answer; try again"
    return render(ProblemError(problems.UNAVAILABLE, detail, retry_after=_SINK_RETRY_AFTER), request.url.path)


async def _held(request: Request, error: Exception) -> Response:
    assert isinstance(error, HeldForReview)
    findings = [finding._asdict() for finding in error.findings]
    answer = held_out(error.project, error.review, error.memory_id, findings)
    return Json({"results": [answer]}, status_code=202)


_HANDLERS: dict[type[Exception], Any] = {
    ProblemError: _problem,
    HeldForReview: _held,
    RequestValidationError: _validation,
    HTTPException: _http,
    DatabaseUnavailable: _database,
    StatementTimeout: _database,
    Unsettled: _unsettled,
    LimitExceeded: _too_large,
    EmbedderUnavailable: _embedder_away,
    EmbedderRejected: _embedder_refused,
    SinkUnavailable: _sink_away,
}
