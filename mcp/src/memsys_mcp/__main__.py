"""``python -m memsys_mcp``: serve MCP over HTTP, or over standard input and output with ``--stdio``."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

import uvicorn
from pydantic import ValidationError

from memsys_mcp import __version__, logs, server, standard_input, telemetry
from memsys_mcp.metrics import Metrics
from memsys_mcp.settings import Settings
from memsys_mcp.settings.config_file import ConfigUnusable
from memsys_mcp.writequeue.file import QueueUnusable

SHUTDOWN_SECONDS = 5


def main() -> None:
    """Entry point. Exits with 2 where a setting is wrong, and says which."""
    parser = argparse.ArgumentParser(prog="memsys-mcp", description=__doc__)
    parser.add_argument(
        "--stdio",
        action="store_true",
        help="talk to one client over standard input and output (needs MEMSYS_API_URL and MEMSYS_API_KEY)",
    )
    parser.add_argument("--version", action="version", version=__version__)
    arguments = parser.parse_args()
    try:
        settings = Settings()  # every field has a default or an environment variable
    except ValidationError as error:
        for item in error.errors(include_url=False, include_input=False):
            place = ".".join(str(part) for part in item["loc"])
            message = item["msg"].removeprefix("Value error, ")
            print(f"memsys-mcp: {f'{place}: ' if place else ''}{message}", file=sys.stderr)
        sys.exit(2)
    except ConfigUnusable as error:
        print(f"memsys-mcp: {error}", file=sys.stderr)
        sys.exit(2)
    telemetry.configure()
    try:
        if arguments.stdio:
            asyncio.run(serve_stdio(settings))
        else:
            serve_http(settings)
    except QueueUnusable as error:
        print(f"memsys-mcp: {error}", file=sys.stderr)
        sys.exit(2)
    finally:
        telemetry.shutdown()


def serve_http(settings: Settings) -> None:
    """Serve until told to stop."""
    logs.configure(settings.log_level, sys.stdout)
    uvicorn.run(
        server.create_app(settings),
        host=settings.host.replace("*", ""),  # without one, sockets of both families
        port=settings.port,
        log_config=None,
        access_log=False,
        forwarded_allow_ips=list(settings.trusted_proxies),
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )


async def serve_stdio(settings: Settings) -> None:
    """Serve the one client that started this process. Logs go to standard error: standard output is the protocol."""
    if settings.api_key is None:
        print(
            "memsys-mcp: MEMSYS_API_KEY is not set; on stdio the server needs the key to use for the API",
            file=sys.stderr,
        )
        sys.exit(2)
    logs.configure(settings.log_level, sys.stderr)
    upstream = server.create_upstream(settings, environment_proxies=True)
    metrics, key = Metrics(), settings.api_key.get_secret_value()
    queue = server.create_queue(
        settings, upstream, metrics, knows=lambda _: True, stdio_key=key
    )  # whoever started this may write here
    mcp = server.create_server(settings, upstream, metrics, stdio_key=key, directory=Path.cwd(), queue=queue)
    try:
        standard_input.mend()
        async with server.draining(queue):
            await mcp.run_stdio_async(show_banner=False)
    finally:
        await upstream.close()


if __name__ == "__main__":
    main()
