"""What surrounds every request: its id, its size, its time, and whether there is anything to serve it yet."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from contextlib import nullcontext
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from memsys_api import logs, metrics, telemetry
from memsys_api.problems import INTERNAL, NOT_READY, OF_CALLERS, TOO_LARGE, TOO_SLOW, Kind, ProblemError, render
from memsys_api.runtime import Runtime
from memsys_api.store.database import DatabaseUnavailable, StatementTimeout

log = logging.getLogger(__name__)

ANSWER_HEADERS = "memsys.answer_headers"
"""Where, in a request's ASGI scope, stand headers to add to its answer, whatever it will be."""
ALWAYS_SERVED = frozenset({"/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"})
UNBOUNDED = frozenset({"/import"})
"""Paths whose body is read as it arrives, and bounded by its reader; their time is bounded step by step."""
PROGRESS = "memsys.progress"
"""Where, in the ASGI scope of such a request, stands what to call after each step."""
_SMALL_BODY = 16 * 1024
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class _Stalled(Exception):
    """Whoever asked does not take the answer."""


class Envelope:
    """The outermost layer; the only one that sees everything, so that nothing leaves without an id and a count."""

    def __init__(
        self, app: ASGIApp, runtime: Runtime, max_body_bytes: int, seconds: float, send_seconds: float
    ) -> None:
        self._app = app
        self._runtime = runtime
        self._max_body_bytes = max_body_bytes
        self._seconds = seconds
        self._send_seconds = send_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        with nullcontext() if scope["path"] in ALWAYS_SERVED else telemetry.request(headers):
            await self._answer(scope, headers, receive, send)

    async def _answer(self, scope: Scope, headers: Headers, receive: Receive, send: Send) -> None:
        given = headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid4().hex
        token = logs.request_id.set(request_id)
        begun = time.perf_counter()
        status = 0
        deadline = asyncio.timeout(self._seconds)
        unbounded = scope["path"] in UNBOUNDED

        def progress() -> None:
            if not deadline.expired():
                deadline.reschedule(asyncio.get_running_loop().time() + self._seconds)

        if unbounded:
            scope[PROGRESS] = progress

        async def observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                answer = MutableHeaders(scope=message)
                answer["X-Request-ID"] = request_id
                answer.update(scope.get(ANSWER_HEADERS, {}))
                if self._runtime.leaving:
                    answer["Connection"] = "close"
            await send(message)

        async def in_time(message: Message) -> None:
            if message["type"] == "http.response.start":
                deadline.reschedule(None)  # an answer that has begun may stream for as long as it likes
            try:
                async with asyncio.timeout(self._send_seconds):  # but not to a reader who does not read
                    await observed(message)
            except TimeoutError as error:
                raise _Stalled from error

        try:
            async with deadline:
                await self._serve(scope, headers, receive, in_time)
        except TimeoutError:
            if not deadline.expired():
                raise
            log.warning("request took too long", extra={"route": _route(scope), "seconds": self._seconds})
            detail = f"no answer within {self._seconds:g} s; try again, with an Idempotency-Key to add"
            if unbounded:
                detail = f"nothing was committed for {self._seconds:g} s; send the same again, it goes on from there"
            await self._refuse(TOO_SLOW, detail, scope, receive, observed, retry_after=1)
        except _Stalled:  # the server closes the connection of an answer that is not complete
            log.warning("reader takes nothing", extra={"route": _route(scope), "seconds": self._send_seconds})
        except Exception:
            log.exception("request failed", extra={"route": _route(scope)})
            if status:
                raise  # the answer has begun: the connection can only be broken off
            await self._refuse(INTERNAL, "the log has the details under this request's id", scope, receive, observed)
        finally:
            seconds = time.perf_counter() - begun
            route = _route(scope)
            method = scope["method"] if scope["method"] in _METHODS else "other"
            metrics.REQUESTS.labels(route, method, str(status)).inc()
            metrics.REQUEST_SECONDS.labels(route, method).observe(seconds)
            if route not in ALWAYS_SERVED:
                telemetry.describe(f"{method} {route}", failed=status >= 500, **_attributes(method, route, status))
                log.info(
                    "request",
                    extra={"route": route, "method": method, "status": status, "ms": round(seconds * 1000, 2)},
                )
            logs.request_id.reset(token)

    async def _serve(self, scope: Scope, headers: Headers, receive: Receive, send: Send) -> None:
        if self._runtime.service is None and scope["path"] not in ALWAYS_SERVED:
            detail = f"waiting for {self._runtime.waiting_for}"
            await self._refuse(NOT_READY, detail, scope, receive, send, retry_after=1)
            return
        length = headers.get("content-length")
        if scope["path"] in UNBOUNDED:
            fits, body = True, receive
        elif length is not None:
            fits = length.isdecimal() and int(length) <= self._max_body_bytes
            body = receive
            if fits and int(length) > _SMALL_BODY and await self._turned_away(scope, receive, send):
                return
        else:
            if "transfer-encoding" in headers and await self._turned_away(scope, receive, send):
                return
            fits, body = await self._buffer(receive)
        if not fits:
            detail = f"the body is larger than {self._max_body_bytes} bytes; send less at once"
            await self._refuse(TOO_LARGE, detail, scope, receive, send)
            return
        await self._app(scope, body, send)

    async def _turned_away(self, scope: Scope, receive: Receive, send: Send) -> bool:
        """Whether whoever sends much has no key, and was answered so before the body is read.

        It is read before a route asks for the key; and some megabytes of JSON can take seconds, of everybody's.
        """
        service = self._runtime.service
        if service is None or scope["path"] in ALWAYS_SERVED:
            return False
        try:
            await service.guard.caller(Request(scope))
        except ProblemError as error:
            if error.kind in OF_CALLERS:
                metrics.REFUSED.labels(error.kind.slug).inc()
            await render(error, scope["path"])(scope, receive, send)
            return True
        except (DatabaseUnavailable, StatementTimeout):
            pass  # the route finds the same, and says so
        return False

    async def _buffer(self, receive: Receive) -> tuple[bool, Receive]:
        """Read a body of unannounced length as far as it is allowed to go, and hand it on whole."""
        chunks: list[bytes] = []
        total = 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return True, receive
            chunks.append(message.get("body", b""))
            total += len(chunks[-1])
            if total > self._max_body_bytes:
                return False, receive
            if not message.get("more_body"):
                break
        pending: Message | None = {"type": "http.request", "body": b"".join(chunks), "more_body": False}

        async def replay() -> Message:
            nonlocal pending
            if pending is not None:
                message, pending = pending, None
                return message
            return await receive()

        return True, replay

    async def _refuse(
        self, kind: Kind, detail: str, scope: Scope, receive: Receive, send: Send, retry_after: int | None = None
    ) -> None:
        answer = render(ProblemError(kind, detail, retry_after=retry_after), scope["path"])
        await answer(scope, receive, send)


def _attributes(method: str, route: str, status: int) -> dict[str, str | int]:
    """What a span says of a request, by the semantic conventions for HTTP."""
    return {"http.request.method": method, "http.route": route, "http.response.status_code": status}


def _route(scope: Scope) -> str:
    """The template of a path, which says no more than which route it was: a path may hold a name."""
    return str(getattr(scope.get("route"), "path", "unmatched"))
