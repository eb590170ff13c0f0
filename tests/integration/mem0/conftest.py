"""The API as a server on a port of its own, for clients that know nothing of it but its host."""

from __future__ import annotations

import os
import tempfile

os.environ["MEM0_TELEMETRY"] = "False"  # read when mem0 is imported
os.environ.setdefault("MEM0_DIR", tempfile.mkdtemp(prefix="mem0-"))

import threading
import time
from collections.abc import Iterator

import httpx
import pytest
import uvicorn

from memsys_api import app
from memsys_api.runtime import Makers
from memsys_api.settings import Settings

from ..conftest import ADMIN_KEY, Dsn
from ..support.parts import WordEmbedder
from ..support.postgres import free_port


@pytest.fixture
def host(dsn: Dsn) -> Iterator[str]:
    """Where a ready API listens, in a thread: some of mem0's calls block."""

    async def make_embedder(_: Settings) -> WordEmbedder:
        return WordEmbedder()

    settings = Settings.model_validate(
        {"DATABASE_URL": dsn.app, "DATABASE_OWNER_URL": dsn.owner, "MEMSYS_ADMIN_KEY": ADMIN_KEY}
    )
    application = app.create(settings, Makers(embedder=make_embedder, graph=lambda _: None))
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(application, host="127.0.0.1", port=port, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    address = f"http://127.0.0.1:{port}"
    try:
        _until_ready(address)
        yield address
    finally:
        server.should_exit = True
        thread.join(30)
    assert not thread.is_alive(), "the server did not stop"


def _until_ready(address: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            answer = httpx.get(f"{address}/readyz")
            if answer.status_code == 200:
                return
            missing = answer.text
        except httpx.ConnectError as error:
            missing = str(error)
        assert time.monotonic() < deadline, f"the API is not ready: {missing}"
        time.sleep(0.05)


@pytest.fixture
def key() -> str:
    """A key that may do anything."""
    return ADMIN_KEY
