"""One connection: what comes before a request is known is bounded, in bytes and in time.

The parser collects a header, or a trailer, until it ends, and copies what it has with every piece that comes: one that
never ends takes the memory, and the event loop's time, from everybody. It needs no key.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_BYTES = 64 * 1024
"""Of a request's line and headers, or of what follows its body; what is read at once may be more."""
SECONDS = 60.0
"""For them to come, and for the first byte of a connection."""

_REFUSAL = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-type: text/plain; charset=utf-8\r\ncontent-length: 26\r\nconnection: close\r\n\r\n"
    b"The headers are too large."
)


class Connection(HttpToolsProtocol):
    """Uvicorn's own, which has no such bounds."""

    _unread = 0
    """Bytes since something of a request was complete: its headers, a piece of its body, itself."""
    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._done()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unread += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._unread > MOST_BYTES:
            if self.cycle is None or self.cycle.response_complete:  # else an answer is under way
                self.transport.write(_REFUSAL)
            self.transport.close()
        elif self._unread and self._patience is None:
            self._wait()

    def on_headers_complete(self) -> None:
        self._done()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._done()
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._done()
        super().on_message_complete()

    def _wait(self) -> None:
        self._patience = self.loop.call_later(SECONDS, self.transport.close)

    def _done(self) -> None:
        self._unread = 0
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
