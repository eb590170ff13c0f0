"""Errors as problem documents (RFC 9457): stable types, a detail that says what to do, the fields at fault."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson
from starlette.responses import Response

BASE = "https://memsys.dev/problems/"


class FieldError(NamedTuple):
    """One field of a request that cannot be used, and why."""

    field: str
    message: str


@dataclass(frozen=True)
class Kind:
    """A type of problem: its slug is part of the API and never changes its meaning."""

    slug: str
    status: int
    title: str


INVALID_REQUEST = Kind("invalid-request", 400, "The request cannot be understood")
UNAUTHENTICATED = Kind("unauthenticated", 401, "A valid API key is needed")
FORBIDDEN = Kind("forbidden", 403, "The key does not allow this")
NOT_FOUND = Kind("not-found", 404, "There is no such thing")
METHOD_NOT_ALLOWED = Kind("method-not-allowed", 405, "The method is not allowed here")
CONFLICT = Kind("version-conflict", 409, "The memory was changed meanwhile")
IDEMPOTENCY_CONFLICT = Kind("idempotency-conflict", 409, "The idempotency key was used for another request")
KEY_CONFLICT = Kind("key-conflict", 409, "The key's state does not allow this")
LIMIT_REACHED = Kind("limit-reached", 409, "There are as many of these as there may be")
ERASED = Kind("erased", 409, "What this would store was erased")
EXPORT_WAITS = Kind("export-waits", 409, "The export is not made yet")
EXPORT_FAILED = Kind("export-failed", 502, "The language model could not make the export")
GONE = Kind("gone", 410, "What is asked for is no longer kept")
QUARANTINED = Kind("quarantined", 400, "The write is suspect")
REVIEWED = Kind("reviewed", 409, "The write was decided on before")
TOO_LARGE = Kind("too-large", 413, "The request is too large")
RATE_LIMITED = Kind("rate-limited", 429, "Too many requests")
EMBEDDER_REJECTED = Kind("embedder-rejected", 502, "The embedding provider refused the call")
NOT_READY = Kind("not-ready", 503, "The service is starting")
TOO_SLOW = Kind("too-slow", 503, "The request took too long")
TOO_MANY_STREAMS = Kind("too-many-streams", 503, "There are as many streams as there may be")
UNAVAILABLE = Kind("unavailable", 503, "A part of the service is away")
NOT_SUPPORTED = Kind("not-supported", 501, "This server does not offer that")
INTERNAL = Kind("internal", 500, "Something went wrong inside the service")

KINDS = (
    INVALID_REQUEST, UNAUTHENTICATED, FORBIDDEN, NOT_FOUND, METHOD_NOT_ALLOWED, CONFLICT, IDEMPOTENCY_CONFLICT,
    KEY_CONFLICT, LIMIT_REACHED, ERASED, EXPORT_WAITS, GONE, QUARANTINED, REVIEWED, TOO_LARGE, RATE_LIMITED,
    NOT_SUPPORTED, EMBEDDER_REJECTED, EXPORT_FAILED, NOT_READY, TOO_SLOW, TOO_MANY_STREAMS, UNAVAILABLE, INTERNAL,
)  # fmt: skip

OF_CALLERS = frozenset({UNAUTHENTICATED, FORBIDDEN, RATE_LIMITED})
"""Refusals because of who asks, not of what."""


class ProblemError(Exception):
    """Raised anywhere below a route; the app turns it into the answer."""

    def __init__(
        self,
        kind: Kind,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        retry_after: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.errors = tuple(errors)
        self.retry_after = retry_after


def key_reused() -> ProblemError:
    """The refusal of an Idempotency-Key that another request was sent under."""
    return ProblemError(
        IDEMPOTENCY_CONFLICT,
        "Idempotency-Key: was used before for another request; use a new key",
        errors=[FieldError("Idempotency-Key", "was used before for another request")],
    )


def no_such_memory() -> ProblemError:
    """The refusal of an id that the scope has no memory of; it does not tell what is another's from what never was."""
    return ProblemError(NOT_FOUND, "there is no such memory")


def invalid(field: str, message: str) -> ProblemError:
    """The refusal of one field."""
    return ProblemError(INVALID_REQUEST, f"{field}: {message}", errors=[FieldError(field, message)])


# mem0's clients parse nothing but application/json, so their paths answer problems as that.
_MEM0_PREFIXES = ("/memories", "/search", "/reset", "/configure", "/v1", "/v2", "/v3", "/api/v1")


def media_type(path: str) -> str:
    """What a problem is served as on a path."""
    return "application/json" if path.startswith(_MEM0_PREFIXES) else "application/problem+json"


def render(problem: ProblemError, path: str) -> Response:
    """The answer for a problem that came up on a path."""
    body: dict[str, Any] = {
        "type": BASE + problem.kind.slug,
        "title": problem.kind.title,
        "status": problem.kind.status,
        "detail": problem.detail,
        "instance": path,
    }
    if problem.errors:
        body["errors"] = [{"field": e.field, "message": e.message} for e in problem.errors]
    headers = {}
    if problem.retry_after is not None:
        headers["Retry-After"] = str(problem.retry_after)
    if problem.kind is UNAUTHENTICATED:
        headers["WWW-Authenticate"] = 'Bearer realm="memsys"'
    return Response(orjson.dumps(body), problem.kind.status, headers, media_type(path))
