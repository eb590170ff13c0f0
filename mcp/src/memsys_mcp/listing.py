"""The list of tools, put together once."""

from __future__ import annotations

from collections.abc import Sequence

import mcp_types
from fastmcp.server.middleware import CallNext, Middleware, MiddlewareContext
from fastmcp.tools import Tool


class StaticTools(Middleware):
    """Remembers the tools. They are the same for every caller from start to end, and the transport asks for the list at
    every single call, to compare the call with the tool's schema; putting it together took most of a call's time."""

    def __init__(self) -> None:
        self._tools: Sequence[Tool] | None = None

    async def on_list_tools(
        self,
        context: MiddlewareContext[mcp_types.ListToolsRequest],
        call_next: CallNext[mcp_types.ListToolsRequest, Sequence[Tool]],
    ) -> Sequence[Tool]:
        if self._tools is None:
            self._tools = await call_next(context)
        return self._tools
