"""The operator's own HTTP endpoints: /healthz, /readyz and /metrics."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

#: Returns what is wrong, or None.
Check = Callable[[], str | None]


def application(alive: Check, ready: Check) -> web.Application:
    def endpoint(check: Check) -> Callable[[web.Request], object]:
        async def answer(_: web.Request) -> web.Response:
            trouble = check()
            if trouble is None:
                return web.json_response({"status": "ok"})
            return web.json_response(
                {
                    "type": "https://memsys.dev/problems/not-ready",
                    "title": "Not ready",
                    "status": 503,
                    "detail": trouble,
                },
                status=503,
                content_type="application/problem+json",
            )

        return answer

    async def exposition(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.router.add_get("/healthz", endpoint(alive))  # type: ignore[arg-type]
    app.router.add_get("/readyz", endpoint(ready))  # type: ignore[arg-type]
    app.router.add_get("/metrics", exposition)
    return app


@asynccontextmanager
async def serve(port: int, alive: Check, ready: Check) -> AsyncIterator[None]:
    """Serve on all interfaces while the context is open."""
    runner = web.AppRunner(application(alive, ready), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, port=port).start()
        yield
    finally:
        await runner.cleanup()
