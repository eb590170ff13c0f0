"""The API as a process: how it begins and how it ends."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Sequence

import httpx
import pytest
import uvicorn

from memsys_api import app
from memsys_api.assembling import Makers
from memsys_api.ports import Vectors
from memsys_api.settings import Settings

from .conftest import ADMIN_KEY, Dsn
from .support.parts import MemorySink, WordEmbedder
from .support.postgres import free_port
from .support.serving import serving
from .support.waiting import until


def test_wrong_settings_end_it_at_once_with_all_of_them_named() -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        "MEMSYS_PORT": "x",
        "GRAPH_STORE": "neo4j",
        "DATABASE_URL": "sqlite:///x",
    }
    ended = subprocess.run(
        [sys.executable, "-m", "memsys_api"], env=environment, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 1
    for name in ("MEMSYS_PORT", "DATABASE_URL"):
        assert name in ended.stderr
    assert "Traceback" not in ended.stderr


class _HeldEmbedder(WordEmbedder):
    """Embeds a memory only when it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = asyncio.Event()
        self.go = asyncio.Event()

    async def embed(self, texts: Sequence[str]) -> Vectors:
        if "hold me" in texts:
            self.begun.set()
            await self.go.wait()
        return await super().embed(texts)


async def test_told_to_stop_it_finishes_what_it_has_accepted(dsn: Dsn) -> None:
    embedder = _HeldEmbedder()

    async def make_embedder(_: Settings) -> WordEmbedder:
        return embedder

    settings = Settings.model_validate(
        {"DATABASE_URL": dsn.app, "DATABASE_OWNER_URL": dsn.owner, "MEMSYS_ADMIN_KEY": ADMIN_KEY}
    )
    application = app.create(settings, Makers(embedder=make_embedder, graph=lambda _: None))
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(application, host="127.0.0.1", port=port, log_config=None))
    running = asyncio.create_task(server.serve())
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers={"X-API-Key": ADMIN_KEY}) as client:

        async def ready() -> bool:
            return server.started and (await client.get("/readyz")).status_code == 200

        await until("it is ready", ready, 30)
        accepted = asyncio.create_task(client.post("/memories", json={"text": "hold me"}))
        await embedder.begun.wait()
        server.should_exit = True

        async def refuses_new_ones() -> bool:
            try:
                async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as late:
                    await late.get("/healthz")
            except httpx.TransportError:
                return True
            return False

        await until("it takes no new connections", refuses_new_ones)
        assert not accepted.done()
        embedder.go.set()
        assert (await accepted).status_code == 200
    await asyncio.wait_for(running, 15)


class _FatalSink(MemorySink):
    """Ends whoever looks at it, as a library does that cancels what it should not."""

    fatal = False

    async def available(self) -> bool:
        if self.fatal:
            raise asyncio.CancelledError
        return await super().available()


async def test_it_ends_when_a_part_of_it_has_ended_that_nobody_told_to(
    dsn: Dsn, caplog: pytest.LogCaptureFixture
) -> None:
    async def make_embedder(_: Settings) -> WordEmbedder:
        return WordEmbedder()

    sink = _FatalSink()
    settings = Settings.model_validate(
        {"DATABASE_URL": dsn.app, "DATABASE_OWNER_URL": dsn.owner, "MEMSYS_ADMIN_KEY": ADMIN_KEY}
    )
    application = app.create(settings, Makers(embedder=make_embedder, graph=lambda _: sink))
    async with serving(application) as (url, server), httpx.AsyncClient(base_url=url) as client:
        assert (await client.get("/readyz")).status_code == 200
        sink.fatal = True
        await until("it ends", lambda: not server.servers[0].is_serving())
    assert application.state.runtime.broken
    [record] = [record for record in caplog.records if record.message == "background task ended"]
    assert record.__dict__["task"] == "graph-watch"
