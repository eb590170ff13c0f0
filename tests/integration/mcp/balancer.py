"""A proxy in front of several servers, by turns or with affinity, that finds another one when one is gone.

As an ingress does: it passes streams through, and never repeats a request that may have been carried out.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from .relay import CONNECTION_HEADERS


class Balancer:
    """``sticky``: a client stays with its server for as long as that lives; the address and key make the client."""

    def __init__(self, upstreams: list[str], *, sticky: bool) -> None:
        self.upstreams = upstreams
        self.served: list[str] = []
        self._sticky = sticky
        self._homes: dict[str, str] = {}
        self._turn = 0
        self._client = httpx.AsyncClient(timeout=30)

    def app(self) -> Starlette:
        @asynccontextmanager
        async def lifespan(_: Starlette) -> AsyncIterator[None]:
            async with self._client:
                yield

        methods = ["GET", "POST", "DELETE", "OPTIONS"]
        return Starlette(routes=[Route("/{path:path}", self._forward, methods=methods)], lifespan=lifespan)

    async def _forward(self, request: Request) -> Response:
        body = await request.body()
        who = request.headers.get("authorization", "")
        for upstream in self._order(who):
            headers = [(n, v) for n, v in request.headers.raw if n.decode() not in CONNECTION_HEADERS]
            sent = self._client.build_request(
                request.method,
                upstream + request.url.path,
                params=request.query_params.multi_items(),
                headers=headers,
                content=body,
            )
            try:
                answer = await self._client.send(sent, stream=True)
            except httpx.ConnectError:
                continue  # never sent: another server may have it
            except httpx.TransportError:
                return PlainTextResponse("the server went away", 502)
            self._homes[who] = upstream
            self.served.append(upstream)
            kept = {n: v for n, v in answer.headers.items() if n not in CONNECTION_HEADERS}
            return StreamingResponse(
                self._stream(answer), answer.status_code, kept, background=BackgroundTask(answer.aclose)
            )
        return PlainTextResponse("no server", 503)

    async def _stream(self, answer: httpx.Response) -> AsyncIterator[bytes]:
        try:
            async for chunk in answer.aiter_raw():
                yield chunk
        except httpx.TransportError:
            return  # the server died: the stream ends

    def _order(self, who: str) -> list[str]:
        """The servers in the order to try them."""
        self._turn += 1
        turn = self._turn % len(self.upstreams)
        order = self.upstreams[turn:] + self.upstreams[:turn]
        home = self._homes.get(who)
        if self._sticky and home in order:
            order = [home, *(upstream for upstream in order if upstream != home)]
        return order
