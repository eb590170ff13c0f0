"""The API as a server on a port of its own, in the test's event loop: for answers that have no end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI

from memsys_api.connections import Connection
from memsys_api.server import Server

from .postgres import free_port
from .waiting import until


@asynccontextmanager
async def serving(application: FastAPI) -> AsyncIterator[tuple[str, Server]]:
    """Where it listens once it is ready, and the server, which may be told to stop."""
    port = free_port()
    config = uvicorn.Config(
        application, host="127.0.0.1", port=port, http=Connection, log_config=None, timeout_graceful_shutdown=20
    )
    server = Server(config, application.state.runtime, leave_seconds=0)
    task = asyncio.create_task(server._serve())
    try:
        runtime = application.state.runtime
        await until("the API is ready", lambda: server.started and runtime.service is not None, 30)
        yield f"http://127.0.0.1:{port}", server
    finally:
        server.should_exit = True
        async with asyncio.timeout(30):
            await task
