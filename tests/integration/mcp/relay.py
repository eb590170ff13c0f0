"""A relay that adds a key to every request and leaves all else alone, the Host header among it.

For clients that cannot send a key.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

CONNECTION_HEADERS = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length"})


def relay(upstream: str, key: str) -> Starlette:
    """An application that passes requests on to ``upstream``, path and all."""
    client = httpx.AsyncClient(base_url=upstream, timeout=60)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with client:
            yield

    async def forward(request: Request) -> Response:
        headers = [(name, value) for name, value in request.headers.raw if name.decode() not in CONNECTION_HEADERS]
        passed = client.build_request(
            request.method,
            request.url.path,
            params=request.query_params.multi_items(),
            headers=[*headers, (b"authorization", f"Bearer {key}".encode())],
            content=await request.body(),
        )
        answer = await client.send(passed, stream=True)
        kept = {name: value for name, value in answer.headers.items() if name not in CONNECTION_HEADERS}
        return StreamingResponse(answer.aiter_raw(), answer.status_code, kept, background=BackgroundTask(answer.aclose))

    return Starlette(
        routes=[Route("/{path:path}", forward, methods=["GET", "POST", "DELETE", "OPTIONS"])], lifespan=lifespan
    )
