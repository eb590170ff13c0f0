"""Runs the API: ``python -m memsys_api``."""

from __future__ import annotations

import socket
import sys
from contextlib import suppress

import uvicorn

from memsys_api import app, logs, settings, telemetry
from memsys_api.runtime import Runtime

_NEVER_STARTED = 3  # as uvicorn's own command says it


class Server(uvicorn.Server):
    """Tells streams to end before it waits for all answers to be given."""

    def __init__(self, config: uvicorn.Config, runtime: Runtime) -> None:
        super().__init__(config)
        self._runtime = runtime

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._runtime.end_streams()
        await super().shutdown(sockets)


def main() -> None:
    """Serve until told to stop, then finish what was accepted. Wrong settings end the process with their list."""
    try:
        loaded = settings.load()
    except settings.SettingsError as error:
        sys.exit(str(error))
    logs.configure(loaded.log_level)
    telemetry.configure()
    application = app.create(loaded)
    config = uvicorn.Config(
        application,
        host=loaded.host,
        port=loaded.port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=loaded.shutdown_seconds,
    )
    server = Server(config, application.state.runtime)
    with suppress(KeyboardInterrupt):
        server.run()
    telemetry.shutdown()
    if not server.started:
        sys.exit(_NEVER_STARTED)


if __name__ == "__main__":
    main()
