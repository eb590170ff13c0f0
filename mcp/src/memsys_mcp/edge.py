"""The HTTP edge of the MCP endpoints: who may call from where, who is calling, and a line in the log."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from memsys_mcp import caller as callers
from memsys_mcp import guard
from memsys_mcp.access import Access
from memsys_mcp.caller import SCOPE_KEY, Caller
from memsys_mcp.metrics import Metrics

PROBLEMS = "https://memsys.dev/problems"
WAYS_IN = "send the header 'Authorization: Bearer <key>' or 'X-API-Key: <key>'"

logger = logging.getLogger(__name__)


class Edge:
    """ASGI middleware. Refuses foreign hosts and origins, requires a key, and puts the caller into the scope."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        access: Access,
        metrics: Metrics,
        allowed_hosts: Sequence[str] = (),
        allowed_origins: Sequence[str] = (),
    ) -> None:
        self._app = app
        self._access = access
        self._metrics = metrics
        self._hosts = tuple(allowed_hosts)
        self._origins = tuple(allowed_origins)

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
            refusal = self._refuse_place(headers)
            caller = None if refusal else callers.read(headers, scope.get("path_params", {}).get("project"))
            if refusal is None:
                refusal = await self._refuse_person(caller)
            if refusal is not None or caller is None:
                assert refusal is not None, "no caller, no service"
                await refusal(scope, receive, send_marked)
                return
            caller = Caller(caller.key, caller.path_project, caller.header_project, request_id)
            scope[SCOPE_KEY] = caller
            # Ties an SSE session to the key that opened it: the transport compares this on every message.
            scope["user"] = AuthenticatedUser(AccessToken(token="", client_id=caller.fingerprint, scopes=[]))
            await self._app(scope, receive, send_marked)
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

    async def _refuse_person(self, caller: Caller | None) -> Response | None:
        if caller is None:
            return unauthorized(f"no key was sent: {WAYS_IN}", error=None)
        if not await self._access.admits(caller):
            return unauthorized(f"the key is unknown, expired or revoked: {WAYS_IN}", error="invalid_token")
        return None


def unauthorized(detail: str, error: str | None) -> Response:
    """A 401 with the challenge that RFC 6750 asks for."""
    challenge = 'Bearer realm="memsys"' + (f', error="{error}"' if error else "")
    return problem(401, "unauthorized", "Unauthorized", detail, {"WWW-Authenticate": challenge})


def problem(status: int, slug: str, title: str, detail: str, headers: dict[str, str] | None = None) -> Response:
    """A problem document (RFC 9457)."""
    document = {"type": f"{PROBLEMS}/{slug}", "title": title, "status": status, "detail": detail}
    return JSONResponse(document, status, headers=headers, media_type="application/problem+json")
