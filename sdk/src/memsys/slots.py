"""Who may use one of a client's connections now: callers wait here, and never in the queue of the HTTP library's pool.

httpcore 1.0.9 gives a new connection to a request that waits in its pool. Where that request is cancelled or runs out
of time in the same moment, it leaves the queue, and the connection stays: ``CONNECTING``, though nobody opens it any
more, neither idle nor closed, counted for ever. An outage with more callers than connections leaves many of them, and a
pool that is full of them serves nobody. So the pool has no limit (``wire.limits``), and these slots are the limit.

Exports and imports hold a connection for as long as they take. Half of the slots at most are theirs: calls go on beside
them, unless the client has a single connection.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import httpx

_WAITING_SHARE = 0.9
"""Of an attempt's time: a caller that got no slot is told apart from a service that is silent."""


class Slots:
    """The slots of the blocking client. Waits in vain end in :class:`httpx.PoolTimeout`, which says what holds them."""

    def __init__(self, connections: int) -> None:
        self._connections = _counted(connections)
        self._all = threading.Semaphore(connections)
        self._streams = threading.Semaphore(_streams(connections))

    @contextmanager
    def call(self, seconds: float) -> Iterator[None]:
        """A slot for an attempt that may take so many seconds in all."""
        with _held(self._all, _WAITING_SHARE * seconds, _all_taken(self._connections)):
            yield

    @contextmanager
    def stream(self, seconds: float) -> Iterator[None]:
        """A slot for an export or import, for which so many seconds are waited."""
        deadline = time.monotonic() + seconds
        with (
            _held(self._streams, seconds, _streams_taken(self._connections)),
            _held(self._all, max(0.0, deadline - time.monotonic()), _all_taken(self._connections)),
        ):
            yield


class AsyncSlots:
    """The slots of the asynchronous client. They are those of the running loop: no other's tasks could wake its own."""

    def __init__(self, connections: int) -> None:
        self._connections = _counted(connections)
        self._loop: asyncio.AbstractEventLoop | None = None

    @asynccontextmanager
    async def call(self, seconds: float) -> AsyncIterator[None]:
        """As :meth:`Slots.call`."""
        every, _ = self._of_this_loop()
        async with _held_async(every, _WAITING_SHARE * seconds, _all_taken(self._connections)):
            yield

    @asynccontextmanager
    async def stream(self, seconds: float) -> AsyncIterator[None]:
        """As :meth:`Slots.stream`."""
        deadline = time.monotonic() + seconds
        every, streams = self._of_this_loop()
        async with (
            _held_async(streams, seconds, _streams_taken(self._connections)),
            _held_async(every, max(0.0, deadline - time.monotonic()), _all_taken(self._connections)),
        ):
            yield

    def _of_this_loop(self) -> tuple[asyncio.Semaphore, asyncio.Semaphore]:
        loop = asyncio.get_running_loop()  # there is none yet where a client is made
        if self._loop is not loop:
            self._loop = loop
            self._all = asyncio.Semaphore(self._connections)
            self._streams = asyncio.Semaphore(_streams(self._connections))
        return self._all, self._streams


@contextmanager
def _held(semaphore: threading.Semaphore, seconds: float, in_vain: str) -> Iterator[None]:
    if not semaphore.acquire(timeout=seconds):
        raise httpx.PoolTimeout(in_vain)
    try:
        yield
    finally:
        semaphore.release()


@asynccontextmanager
async def _held_async(semaphore: asyncio.Semaphore, seconds: float, in_vain: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            await semaphore.acquire()
    except TimeoutError:
        raise httpx.PoolTimeout(in_vain) from None
    try:
        yield
    finally:
        semaphore.release()


def _counted(connections: int) -> int:
    if connections < 1:
        raise ValueError("max_connections must be at least 1")
    return connections


def _streams(connections: int) -> int:
    return max(1, connections // 2)


def _all_taken(connections: int) -> str:
    return f"no free connection in time: all {connections} of this client (max_connections) are in use"


def _streams_taken(connections: int) -> str:
    return (
        f"no free connection in time: {_streams(connections)} exports and imports are under way, the most of a client "
        f"with max_connections={connections}; read exports to their end, or close them"
    )
