"""The HTTP edge of the MCP endpoints: who may call from where, who is calling, and a line in the log."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Sequence

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from memsys_mcp import caller as callers
from memsys_mcp import guard
from memsys_mcp.answers import problem
from memsys_mcp.caller import SCOPE_KEY
from memsys_mcp.gate import Gate, Visit
from memsys_mcp.metrics import Metrics

MAX_PEEK = 1024 * 1024
METHODS = ("GET", "POST", "DELETE")
READABLE_HEADERS = ("Mcp-Session-Id", "MCP-Protocol-Version", "WWW-Authenticate", "X-Request-ID")
"""What a page of an allowed origin gets to see of an answer, beside what the browser shows every page."""

logger = logging.getLogger(__name__)


class Edge:
    """ASGI middleware. Refuses foreign hosts and origins, and puts the caller whom the gate lets in into the scope.

    Pages of the allowed origins, and of no others, may read the answers (CORS).
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        gate: Gate,
        metrics: Metrics,
        allowed_hosts: Sequence[str] = (),
        allowed_origins: Sequence[str] = (),
    ) -> None:
        self._app = app
        self._gate = gate
        self._metrics = metrics
        self._hosts = tuple(allowed_hosts)
        self._origins = tuple(allowed_origins)
        # Asked for allowed origins alone. It answers their preflights, which bring no credentials for the gate.
        self._shared = CORSMiddleware(
            self._serve,
            allow_origin_regex=".+",
            allow_methods=METHODS,
            allow_headers=["*"],
            expose_headers=READABLE_HEADERS,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = callers.request_id_of(headers)
        token = callers.request_id.set(request_id)
        began = time.perf_counter()
        status = 500

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        try:
            app: ASGIApp = self._shared if guard.origin_listed(headers.get("origin"), self._origins) else self._serve
            await (self._refuse_place(headers) or app)(scope, receive, send_marked)
        finally:
            self._metrics.requests.labels(str(status)).inc()
            logger.info(
                "request",
                extra={
                    "method": scope["method"],
                    "path": scope["path"],
                    "status": status,
                    "seconds": round(time.perf_counter() - began, 4),
                },
            )
            callers.request_id.reset(token)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers, request_id = Headers(scope=scope), callers.request_id.get()
        assert request_id is not None, "set for the request"
        project = scope.get("path_params", {}).get("project")
        again = Rereadable(receive)
        address = scope["client"][0] if scope.get("client") else ""
        entered = await self._gate.enter(Visit(headers, scope["path"], project, address, request_id, again.body))
        if isinstance(entered, Response):
            await entered(scope, again, send)
            return
        scope[SCOPE_KEY] = entered
        # Ties an SSE session to the caller who opened it: the transport compares this on every message.
        scope["user"] = AuthenticatedUser(AccessToken(token="", client_id=entered.fingerprint, scopes=[]))
        await self._app(scope, again, send)

    def _refuse_place(self, headers: Headers) -> Response | None:
        host = headers.get("host", "")
        if not guard.host_allowed(host, self._hosts):
            return problem(
                421,
                "host-not-allowed",
                "Misdirected request",
                f"this server does not go by the name {guard.host_name(host)[:100]!r}; if it should, add the name to "
                "MEMSYS_MCP_ALLOWED_HOSTS",
            )
        if not guard.origin_allowed(headers.get("origin"), host, self._origins):
            return problem(
                403,
                "origin-not-allowed",
                "Forbidden origin",
                "pages of this origin may not call this server; if they should, add the origin to "
                "MEMSYS_MCP_ALLOWED_ORIGINS",
            )
        return None


class Rereadable:
    """A request's body that can be looked at before it is handed on."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._seen: deque[Message] = deque()

    async def body(self) -> bytes:
        """The body, or as much of it as is worth a look."""
        body = b""
        while len(body) <= MAX_PEEK:
            message = await self._receive()
            self._seen.append(message)
            body += message.get("body", b"")
            if message["type"] != "http.request" or not message.get("more_body"):
                break
        return body

    async def __call__(self) -> Message:
        """The next message, as the application receives it."""
        return self._seen.popleft() if self._seen else await self._receive()
