"""A forward proxy that takes ``https://<name>:443`` of given names to a port of this machine.

So clients use the addresses that people use, host names and all, without any name being known to this machine:
``HTTPS_PROXY`` is understood by every client that is tested here. TLS is the client's and the server's own.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def connect_proxy(port: int) -> Iterator[str]:
    """The address of a proxy that takes every CONNECT, whatever its name, to this port on 127.0.0.1."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def handle(client: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        try:
            request = await client.readuntil(b"\r\n\r\n")
            if not request.startswith(b"CONNECT "):
                answers.write(b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n")
                return
            upstream, requests = await asyncio.open_connection("127.0.0.1", port)
            answers.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await asyncio.gather(_pass_on(client, requests), _pass_on(upstream, answers))
        except (ConnectionError, asyncio.IncompleteReadError):
            return  # one of the ends left
        finally:
            answers.close()

    try:
        server = asyncio.run_coroutine_threadsafe(asyncio.start_server(handle, "127.0.0.1", 0), loop).result(10)
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        loop.call_soon_threadsafe(server.close)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)


async def _pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    try:
        while chunk := await source.read(65536):
            target.write(chunk)
            await target.drain()
    finally:
        target.close()
