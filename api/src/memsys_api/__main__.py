"""Runs the API: ``python -m memsys_api``."""

from __future__ import annotations

import sys

import uvicorn

from memsys_api import app, logs, settings, telemetry


def main() -> None:
    """Serve until told to stop, then finish what was accepted. Wrong settings end the process with their list."""
    try:
        loaded = settings.load()
    except settings.SettingsError as error:
        sys.exit(str(error))
    logs.configure(loaded.log_level)
    telemetry.configure()
    uvicorn.run(
        app.create(loaded),
        host=loaded.host,
        port=loaded.port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=loaded.shutdown_seconds,
    )
    telemetry.shutdown()


if __name__ == "__main__":
    main()
