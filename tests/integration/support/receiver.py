"""A real HTTP endpoint on loopback that takes webhooks, and behaves as a test wants it to."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Received:
    """One call."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def data(self) -> dict[str, Any]:
        document = json.loads(self.body)
        assert document["type"] == f"memory.{document['data']['event']}"
        return dict(document["data"])

    def signed_by(self, secret: str) -> bool:
        """Checked as a receiver would: by the specification, not by the product's code."""
        content = b".".join((self.id.encode(), self.headers["webhook-timestamp"].encode(), self.body))
        key = base64.b64decode(secret.removeprefix("whsec_"))
        wanted = "v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
        return wanted in self.headers["webhook-signature"].split(" ")


@dataclass(frozen=True)
class Answer:
    """What to answer: a status with headers, nothing at all, or a body without end."""

    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    hang: bool = False
    endless: bool = False


@dataclass
class Receiver:
    """Keeps what came, in order."""

    port: int = 0
    calls: list[Received] = field(default_factory=list)
    answer: Callable[[Received], Answer] = lambda _: Answer()

    def url(self, path: str = "/hook") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def at(self, path: str) -> list[Received]:
        return [call for call in self.calls if call.path == path]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                request, *lines = head.strip().split("\r\n")
                headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
                body = await reader.readexactly(int(headers["content-length"]))
                received = Received(request.split(" ")[1], headers, body)
                self.calls.append(received)
                answer = self.answer(received)
                if answer.hang:
                    await reader.read()  # until the caller gives up
                    return
                extra = "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
                if answer.endless:
                    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                    while True:
                        writer.write(b"1000\r\n" + b"x" * 0x1000 + b"\r\n")
                        await writer.drain()
                length = "" if answer.status == 204 else "Content-Length: 0\r\n"
                writer.write(f"HTTP/1.1 {answer.status} -\r\n{length}{extra}\r\n".encode())
                await writer.drain()
        writer.close()


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """A receiver on a port of its own."""
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
