"""A span for every request of the protocol that reaches the API."""

from __future__ import annotations

from typing import Any

import mcp_types
from fastmcp.server.dependencies import get_http_headers
from fastmcp.server.middleware import CallNext, Middleware, MiddlewareContext
from opentelemetry.trace import SpanKind

from memsys_mcp import telemetry
from memsys_mcp.catalogue import TOOLS


class TracingMiddleware(Middleware):
    """Names after the conventions for MCP: the method and the tool. Comes first; costs nothing while traces are off."""

    async def on_request(
        self, context: MiddlewareContext[mcp_types.Request[Any, Any]], call_next: CallNext[Any, Any]
    ) -> Any:
        if not telemetry.is_on():
            return await call_next(context)
        method = context.method or "unknown"
        asked = getattr(context.message, "name", None)
        tool = {"gen_ai.tool.name": asked} if method == "tools/call" and asked in TOOLS else {}
        with telemetry.span(
            " ".join([method, *tool.values()]),
            carrier=get_http_headers(),
            kind=SpanKind.SERVER,
            **{"mcp.method.name": method, **tool},
        ):
            return await call_next(context)
