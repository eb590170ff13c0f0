"""What tests of the tools share: a server, called by a client within the process, over an API that a function plays."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
from fastmcp import Client

import memsys
from memsys_mcp.metrics import Metrics
from memsys_mcp.server import create_server, create_upstream
from memsys_mcp.settings import Settings
from memsys_mcp.writequeue.queue import WriteQueue

KEY = "msk_x"


@asynccontextmanager
async def playing(
    answer: Callable[[httpx.Request], httpx.Response],
    *,
    url: str = "http://api.test",
    metrics: Metrics | None = None,
    queue: WriteQueue | None = None,
) -> AsyncIterator[Client[Any]]:
    """A client of a server on stdio, to whose API every request is answered by ``answer``."""
    settings = Settings(MEMSYS_MCP_ISOLATION="global", MEMSYS_API_URL=url)
    api = memsys.AsyncClient(url, transport=httpx.MockTransport(answer))
    upstream = replace(create_upstream(settings), api=api)
    server = create_server(settings, upstream, metrics or Metrics(), stdio_key=KEY, queue=queue)
    async with Client(server) as client:
        yield client
