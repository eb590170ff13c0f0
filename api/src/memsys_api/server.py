"""How the process ends: clients are asked to go elsewhere first, then what was accepted is finished."""

from __future__ import annotations

import asyncio
import signal
import time
from types import FrameType

import uvicorn

from memsys_api.runtime import Runtime

_LOOK_SECONDS = 0.05


class Server(uvicorn.Server):
    """Leaves before it stops.

    A client that keeps its connection would otherwise send its next request just when the server closes it, and could
    not tell whether it was carried out. So for ``leave_seconds`` after it was told to stop, or until nobody is
    connected, the server goes on serving, not ready any more, and every answer closes its connection. Streams end at
    once: they would not by themselves.
    """

    def __init__(self, config: uvicorn.Config, runtime: Runtime, leave_seconds: float) -> None:
        super().__init__(config)
        self._runtime, self._leave_seconds = runtime, leave_seconds

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end; a second SIGINT ends at once.

        Uvicorn's own would raise the signal again afterwards, which ends the process before its last lines.
        """
        self.force_exit |= self.should_exit and sig == signal.SIGINT
        self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        """Whether to stop: told so, or because a part of the server has ended that was to go on."""
        return await super().on_tick(counter) or self._runtime.broken

    async def main_loop(self) -> None:
        """Serve until told to stop, and a little longer."""
        await super().main_loop()
        self._runtime.leave()
        until = time.monotonic() + self._leave_seconds
        while self.server_state.connections and time.monotonic() < until and not self.force_exit:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(_LOOK_SECONDS)
