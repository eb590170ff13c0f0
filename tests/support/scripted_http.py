"""A server on loopback that a test tells how to behave: a thread, a record of the calls, and ways to be broken."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    query: dict[str, list[str]]
    body: Any


@dataclass
class Failed(Exception):
    """What a handler raises to answer an error."""

    status: int
    message: str = "scripted failure"


class ScriptedServer:
    """Subclasses answer requests in :meth:`answer`, one at a time. ``status`` fails all, ``delay`` holds them."""

    def __init__(self, port: int = 0) -> None:
        self.calls: list[Request] = []
        self.status: int | None = None
        self.delay = 0.0
        self.fault: Callable[[Request], Failed | None] = lambda _: None
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name=type(self).__name__)

    def answer(self, request: Request) -> Any:
        """What to answer, as JSON; raises :class:`Failed`."""
        raise NotImplementedError

    def failure(self, failed: Failed) -> Any:
        """The body of an error in this server's protocol."""
        return {"error": failed.message}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Refuse connections from now on, as a dead server does."""
        if not self._closing.is_set():
            self._closing.set()
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()

    @property
    def closed(self) -> bool:
        return self._closing.is_set()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def calls_of(self, method: str, ending: str) -> list[Request]:
        return [call for call in self.calls if call.method == method and call.path.endswith(ending)]

    def handle(self, request: Request) -> tuple[int, Any]:
        self.calls.append(request)
        if self.delay:
            self._closing.wait(self.delay)
        try:
            failed = Failed(self.status) if self.status else self.fault(request)
            if failed:
                raise failed
            with self._lock:
                return 200, self.answer(request)
        except Failed as error:
            return error.status, self.failure(error)
        except Exception as error:  # a request that the script does not know: the test sees which
            return 500, self.failure(Failed(500, f"{request.method} {request.path} {request.body}: {error!r}"))


def _handler(scripted: ScriptedServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            if scripted.closed:  # on a connection from before: hang up
                self.close_connection = True
                return
            content = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = json.loads(content) if content else None
            url = urlsplit(self.path)
            request = Request(self.command, unquote(url.path), headers, parse_qs(url.query), body)
            status, answer = scripted.handle(request)
            text = json.dumps(answer).encode()
            try:
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)
            except OSError:  # the client has gone: what a test of slow answers is about
                self.close_connection = True

        do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815  # the names that the base class calls

        def log_message(self, format: str, *args: object) -> None:
            """Be silent: the calls are kept."""

    return Handler


def cosine(one: list[float], other: list[float]) -> float:
    dot = sum(a * b for a, b in zip(one, other, strict=True))
    lengths = sum(a * a for a in one) ** 0.5 * sum(b * b for b in other) ** 0.5
    return dot / lengths if lengths else 0.0
