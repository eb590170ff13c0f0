"""What a call can raise: one base, one class per kind of answer, one family for "nobody answered"."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class FieldError:
    """One field that was refused, and why."""

    field: str
    message: str


class MemsysError(Exception):
    """Base of everything this package raises on purpose."""


class Held(MemsysError):
    """A change was not carried out: it looks suspect and waits for review under ``review_id``."""

    def __init__(self, review_id: str) -> None:
        super().__init__(f"held for review {review_id}: an admin of the project releases or rejects it")
        self.review_id = review_id


class Unsendable(MemsysError):
    """The request cannot be written as HTTP: nothing was sent, and nothing would be if it were tried again."""


class Unavailable(MemsysError):
    """The service did not do the work, and the same call may succeed later.

    ``retry_after`` is the number of seconds to wait where that is known.
    """

    retry_after: float | None = None


class Unreachable(Unavailable):
    """No answer came: the connection failed or the time ran out."""


class CircuitOpen(Unavailable):
    """Not even tried: the last calls all failed, and the service is given time to come back."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ProblemError(MemsysError):
    """The service answered with an error (RFC 9457 problem document).

    ``type`` is stable and meant for code, ``detail`` is meant for people, ``errors`` names the fields.
    """

    status: int
    type: str
    title: str
    detail: str
    errors: tuple[FieldError, ...]
    request_id: str | None
    retry_after: float | None
    default_title: ClassVar[str] = "Error"

    def __init__(
        self,
        status: int,
        *,
        type: str = "about:blank",
        title: str | None = None,
        detail: str = "",
        errors: tuple[FieldError, ...] = (),
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.status = status
        self.type = type
        self.title = title or self.default_title
        self.detail = detail
        self.errors = errors
        self.request_id = request_id
        self.retry_after = retry_after
        super().__init__(self._describe())

    def _describe(self) -> str:
        text = f"{self.status} {self.title}"
        if self.detail:
            text += f": {self.detail}"
        if self.errors:
            text += " (" + "; ".join(f"{error.field}: {error.message}" for error in self.errors) + ")"
        return text


class Invalid(ProblemError):
    """400, 422: something in the request is wrong; ``errors`` names the fields."""

    default_title = "Invalid request"


class Unauthorized(ProblemError):
    """401: no key, or one that is unknown, expired or revoked."""

    default_title = "Unauthorized"


class Forbidden(ProblemError):
    """403: the key is good, but does not reach this project or this right."""

    default_title = "Forbidden"


class NotFound(ProblemError):
    """404: no such memory or route within the scope of the key."""

    default_title = "Not found"


class Conflict(ProblemError):
    """409: the request disagrees with the state of the service."""

    default_title = "Conflict"


class Erased(Conflict):
    """409: what this would store was erased since it was accepted; drop it."""

    default_title = "Erased"


class ExportWaits(Conflict):
    """409: the export is not made yet; ask again after ``retry_after`` seconds."""

    default_title = "Export waits"


class TooLarge(ProblemError):
    """413: the body is larger than the service takes."""

    default_title = "Too large"


class RateLimited(ProblemError):
    """429: too many requests; ``retry_after`` says when to come back."""

    default_title = "Too many requests"


class ServerError(ProblemError):
    """5xx: the service failed. The request id finds the cause in its log."""

    default_title = "Server error"


class ExportFailed(ServerError):
    """502: the language model could not make the export, and asking for it again does not help."""

    default_title = "Export failed"


class UnexpectedAnswer(MemsysError):
    """The service answered with success, but not with what it promises: the versions do not fit together."""


class ServiceUnavailable(ServerError, Unavailable):
    """502, 503, 504: up, but not able to serve right now."""

    default_title = "Service unavailable"


_BY_STATUS: Mapping[int, type[ProblemError]] = {
    400: Invalid,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: TooLarge,
    422: Invalid,
    429: RateLimited,
    502: ServiceUnavailable,
    503: ServiceUnavailable,
    504: ServiceUnavailable,
}
_BY_TYPE: Mapping[str, type[ProblemError]] = {
    "https://memsys.dev/problems/erased": Erased,
    "https://memsys.dev/problems/export-waits": ExportWaits,
    "https://memsys.dev/problems/export-failed": ExportFailed,
}
_TEXT_LIMIT = 300


def problem(
    status: int, body: bytes, *, request_id: str | None = None, retry_after: float | None = None
) -> ProblemError:
    """The exception an error answer stands for. Any body will do, a problem document or not."""
    kind = _BY_STATUS.get(status, ServerError if status >= 500 else ProblemError)
    document = _document(body)
    if document is None:
        return kind(
            status,
            detail=body.decode("utf-8", "replace").strip()[:_TEXT_LIMIT],
            request_id=request_id,
            retry_after=retry_after,
        )
    kind = _BY_TYPE.get(_text(document.get("type")) or "", kind)
    detail = document.get("detail")
    errors = _fields(document.get("errors"))
    if not errors and isinstance(detail, list):  # the validation answer of a plain FastAPI application
        errors = _fields([{"field": _path(item), "message": item.get("msg")} for item in _mappings(detail)])
        detail = None
    return kind(
        status,
        type=_text(document.get("type")) or "about:blank",
        title=_text(document.get("title")),
        detail=_text(detail) or "",
        errors=errors,
        request_id=request_id,
        retry_after=retry_after,
    )


def _document(body: bytes) -> Mapping[str, Any] | None:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _mappings(value: object) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _fields(value: object) -> tuple[FieldError, ...]:
    return tuple(
        FieldError(_text(item.get("field")) or "(request)", _text(item.get("message")) or "is not valid")
        for item in _mappings(value)
    )


def _path(item: Mapping[str, Any]) -> str:
    location = item.get("loc")
    parts = location if isinstance(location, list) else []
    return ".".join(str(part) for part in parts if part not in ("body", "query", "path", "header"))


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
