"""Runs the API: ``python -m memsys_api``."""

from __future__ import annotations

import sys

import uvicorn

from memsys_api import app, logs, settings, telemetry
from memsys_api.connections import Connection
from memsys_api.server import Server

_BROKEN = 1
_NEVER_STARTED = 3  # as uvicorn's own command says it


def main() -> None:
    """Serve until told to stop or broken, then finish what was accepted.

    Wrong settings end the process with their list.
    """
    try:
        loaded = settings.load()
    except settings.SettingsError as error:
        sys.exit(str(error))
    logs.configure(loaded.log_level)
    telemetry.configure()
    application = app.create(loaded)
    config = uvicorn.Config(
        application,
        host=loaded.host.replace("*", ""),  # without one, sockets of both families
        port=loaded.port,
        loop="uvloop",
        http=Connection,
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=loaded.shutdown_seconds,
    )
    server = Server(config, application.state.runtime, loaded.leave_seconds)
    server.run()
    telemetry.shutdown()
    if application.state.runtime.broken:
        sys.exit(_BROKEN)
    if not server.started:
        sys.exit(_NEVER_STARTED)


if __name__ == "__main__":
    main()
