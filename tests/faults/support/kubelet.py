"""Starts servers again when they have ended, as Kubernetes does with a pod's container."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Protocol

_LOOK_SECONDS = 0.1
_BACK_OFF_SECONDS = 1.0


class Server(Protocol):
    """What can be started; ``start`` returns when it answers, and raises when it does not come to that."""

    @property
    def running(self) -> bool: ...
    def start(self) -> None: ...
    def kill(self) -> None: ...


class Kubelet:
    """Looks after one server."""

    def __init__(self, name: str, server: Server) -> None:
        self.name, self.server = name, server
        self._held = False
        self.answering = asyncio.Event()
        """Set from when a start was through until the server is killed or found ended."""

    async def kill(self) -> None:
        """End the server at once. It is started again."""
        self.answering.clear()
        await asyncio.to_thread(self.server.kill)

    @asynccontextmanager
    async def away(self) -> AsyncIterator[None]:
        """Keep the server ended for the length of the block; it answers again when the block is left."""
        self._held = True
        await self.kill()
        try:
            yield
        finally:
            self._held = False
        await self.answering.wait()

    async def _look_after(self) -> None:
        while True:
            if not self.server.running and not self._held:
                self.answering.clear()
                try:
                    await asyncio.to_thread(self.server.start)
                except (RuntimeError, TimeoutError):  # on a full disk, for example: the server's log says why
                    await asyncio.to_thread(self.server.kill)
                    await asyncio.sleep(_BACK_OFF_SECONDS)
                    continue
                self.answering.set()
            await asyncio.sleep(_LOOK_SECONDS)

    @asynccontextmanager
    async def looking(self) -> AsyncIterator[None]:
        """Look after it until the end of the block; the server is killed then."""
        if self.server.running:
            self.answering.set()
        task = asyncio.create_task(self._look_after(), name=f"kubelet-{self.name}")
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):  # what else it ended with, long ago perhaps, is the test's to see
                await task
            self.server.kill()
