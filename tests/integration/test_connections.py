"""What anybody can do to a connection, without a key: the process that serves keeps its memory and its time."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from memsys_api import connections
from tests.integration.mcp.processes import Process, python_module

from .conftest import ADMIN_KEY
from .support.postgres import free_port
from .support.waiting import until

MOST = 16 * 1024 * 1024
"""Far beyond the bound, with what the buffers on the way hold."""
GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
POST = b"POST /search HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    log: Path = tmp_path_factory.mktemp("api") / "log"
    nowhere = "postgresql://u@127.0.0.1:1/d"
    with python_module("memsys_api", log, "/healthz", DATABASE_URL=nowhere, MEMSYS_ADMIN_KEY=ADMIN_KEY) as running:
        yield running


def connected(api: Process) -> socket.socket:
    host, _, port = api.url.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=30)


def answer(connection: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    found = b""
    try:
        while piece := connection.recv(65536):
            found += piece
    except ConnectionResetError:
        pass
    return found


def poured(connection: socket.socket, piece: bytes) -> int:
    """How much the other side takes of the same again and again."""
    sent = 0
    try:
        while sent < MOST:
            connection.sendall(piece)
            sent += len(piece)
    except (ConnectionResetError, BrokenPipeError):
        pass
    return sent


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        (GET + b"X-Long: ", b"a" * 65536),
        (GET, b"X-Many: b\r\n" * 6000),
        (b"GET /", b"a" * 65536),
        (b"", b"\r\n" * 30_000),
        (POST + b"2\r\n{}\r\n0\r\nX-Trailer: ", b"a" * 65536),
        (POST + b"2;extension=", b"a" * 65536),
    ],
    ids=["a header", "headers", "an address", "empty lines", "a trailer", "a chunk's extension"],
)
def test_what_comes_before_a_request_is_known_is_bounded(api: Process, begin: bytes, piece: bytes) -> None:
    with connected(api) as connection:
        connection.sendall(begin)
        assert poured(connection, piece) < MOST


def test_headers_that_are_too_large_are_said_to_be(api: Process) -> None:
    with connected(api) as connection:
        connection.sendall(GET + b"X-Long: " + b"a" * connections.MOST_BYTES)
        assert answer(connection).startswith(b"HTTP/1.1 431 ")


def test_long_bodies_and_requests_behind_one_another_are_served(api: Process) -> None:
    chunks = b"".join(b"%x\r\n%b\r\n" % (60_000, b" " * 60_000) for _ in range(10))
    last = GET + b"Connection: close\r\nX-Long: " + b"a" * 30_000 + b"\r\n\r\n"
    with connected(api) as connection:
        connection.sendall(POST + chunks + b"0\r\n\r\n" + (GET + b"\r\n") * 3_000 + last)
        found = answer(connection)
    assert found.count(b"HTTP/1.1 200 OK") == 3_001
    assert found.count(b"HTTP/1.1 503 ") == 1  # there is no PostgreSQL


@pytest.mark.parametrize("begin", [b"", GET[:9], GET])
async def test_who_does_not_go_on_is_not_waited_for(begin: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "SECONDS", 0.2)

    async def waits(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    port = free_port()
    config = uvicorn.Config(waits, port=port, http=connections.Connection, log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    running = asyncio.create_task(server._serve())
    await until("it listens", lambda: server.started)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(begin)
    async with asyncio.timeout(10):
        assert await reader.read() == b""
    writer.close()
    server.should_exit = True
    await running
