"""The tools' input schemas, at hand for the transport."""

from __future__ import annotations

from typing import Any

from fastmcp import FastMCP


async def keep_at_hand(server: FastMCP[Any]) -> None:
    """Give the transport the schemas of the tools, which are the same for every caller from start to end.

    It compares each call over HTTP with the called tool's schema. Left to itself it asks for the whole list of tools
    every time, by way of the protocol, which takes longer than the call. FastMCP does not pass on the SDK's
    ``Server(get_tool_input_schema=…)``, so it is set on the SDK's server within.
    """
    schemas = {tool.name: tool.parameters for tool in await server.list_tools()}
    server._mcp_server.get_tool_input_schema = schemas.get
