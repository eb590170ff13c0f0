"""Clients that others wrote, behind one small face, so that one session runs through each of them."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import fastmcp
import httpx2
from fastmcp.client.transports import SSETransport, StdioTransport, StreamableHttpTransport
from mcp.client.sse import sse_client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

import mcp

from .processes import clean_environment


@dataclass(frozen=True)
class Target:
    """What a client connects to, as whom, for which project."""

    mcp_url: str
    api_url: str
    key: str
    project: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}


@dataclass(frozen=True)
class Answer:
    """The result of a tool."""

    is_error: bool
    text: str
    data: dict[str, Any]


@dataclass(frozen=True)
class Session:
    """An open session."""

    client: Any

    async def call(self, tool: str, **arguments: Any) -> Answer:
        if isinstance(self.client, fastmcp.Client):
            result = await self.client.call_tool(tool, arguments, raise_on_error=False)
        else:
            result = await self.client.call_tool(tool, arguments)
        return Answer(bool(result.is_error), result.content[0].text, result.structured_content or {})

    async def tools(self) -> list[Any]:
        listed = await self.client.list_tools()
        return listed if isinstance(listed, list) else list(listed.tools)

    async def read(self, uri: str) -> str:
        found = await self.client.read_resource(uri)
        contents = found if isinstance(found, list) else found.contents
        return str(contents[0].text)

    async def prompt(self, name: str, **arguments: str) -> str:
        return str((await self.client.get_prompt(name, arguments)).messages[0].content.text)


Opener = Callable[[Target], AbstractAsyncContextManager[Session]]


def _opener(make: Callable[[Target], Any]) -> Opener:
    @asynccontextmanager
    async def open_session(target: Target) -> AsyncIterator[Session]:
        async with make(target) as client:
            yield Session(client)

    return open_session


def stdio(target: Target, cwd: str | None = None, **settings: str) -> StdioTransport:
    environment = clean_environment(MEMSYS_API_URL=target.api_url, MEMSYS_API_KEY=target.key, **settings)
    return StdioTransport(sys.executable, ["-m", "memsys_mcp", "--stdio"], env=environment, cwd=cwd, keep_alive=False)


def http(target: Target) -> StreamableHttpTransport:
    return StreamableHttpTransport(f"{target.mcp_url}/p/{target.project}/mcp", headers=target.headers)


def sse(target: Target) -> SSETransport:
    return SSETransport(f"{target.mcp_url}/p/{target.project}/sse", headers=target.headers)


def _official_http(target: Target) -> mcp.Client:
    connection = httpx2.AsyncClient(headers=target.headers, timeout=30)
    url = f"{target.mcp_url}/p/{target.project}/mcp"
    return mcp.Client(streamable_http_client(url, http_client=connection))


def _official_stdio(target: Target) -> mcp.Client:
    environment = clean_environment(
        MEMSYS_API_URL=target.api_url,
        MEMSYS_API_KEY=target.key,
        MEMSYS_MCP_ISOLATION="manual",
        MEMSYS_MCP_PROJECT=target.project,
    )
    return mcp.Client(
        StdioServerParameters(command=sys.executable, args=["-m", "memsys_mcp", "--stdio"], env=environment)
    )


def _roots(target: Target) -> list[str]:
    return [f"file:///home/someone/{target.project}"]


CLIENTS: dict[str, Opener] = {
    "fastmcp-http": _opener(lambda target: fastmcp.Client(http(target))),
    "fastmcp-http-handshake": _opener(lambda target: fastmcp.Client(http(target), mode="legacy")),
    "fastmcp-sse": _opener(lambda target: fastmcp.Client(sse(target))),
    "fastmcp-sse-roots": _opener(
        lambda target: fastmcp.Client(
            SSETransport(f"{target.mcp_url}/sse", headers=target.headers), mode="legacy", roots=_roots(target)
        )
    ),
    "fastmcp-stdio-roots": _opener(lambda target: fastmcp.Client(stdio(target), roots=_roots(target))),
    "official-http": _opener(_official_http),
    "official-sse": _opener(
        lambda target: mcp.Client(sse_client(f"{target.mcp_url}/p/{target.project}/sse", headers=target.headers))
    ),
    "official-stdio": _opener(_official_stdio),
}
