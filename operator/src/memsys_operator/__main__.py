"""``python3 -m memsys_operator``: wire the parts together and run until a signal."""

from __future__ import annotations

import asyncio
import logging
import sys
from contextlib import aclosing

import kopf
import uvloop

from memsys_operator import health
from memsys_operator import main as handlers
from memsys_operator.api_client import MemoryAPI
from memsys_operator.cluster import Cluster
from memsys_operator.controller import Controller
from memsys_operator.keys.api import KeysAPI
from memsys_operator.reconcile import Reconciler
from memsys_operator.settings import Settings

logger = logging.getLogger("memsys_operator")


async def serve(settings: Settings) -> None:
    """Run the operator until SIGTERM or SIGINT; an error in the resync loop ends it too."""
    async with Cluster.connect() as cluster, aclosing(MemoryAPI()) as api, aclosing(KeysAPI()) as keys:
        controller = Controller(cluster, Reconciler(cluster, settings, keys), api, settings)
        async with (
            health.serve(settings.health_port, controller.stuck, controller.trouble),
            asyncio.TaskGroup() as group,
        ):
            resync = group.create_task(controller.run(), name="resync")
            logger.info("watching %s", ", ".join(settings.watch_namespaces) or "all namespaces")
            await kopf.operator(
                memo=kopf.Memo(controller=controller),
                registry=kopf.get_default_registry(),
                standalone=True,
                clusterwide=not settings.watch_namespaces,
                namespaces=settings.watch_namespaces,
            )
            resync.cancel()


def main() -> None:
    try:
        settings = Settings.from_env()
    except ValueError as error:
        sys.exit(str(error))
    kopf.configure(
        verbose=settings.log_level == "debug",
        quiet=settings.log_level in ("warning", "error"),
        log_format=kopf.LogFormat.JSON,
    )
    # A line for every watch event and every request would bury what was done.
    for noisy in ("kopf.objects", "httpx"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    for handler in logging.getLogger().handlers:
        handler.addFilter(handlers.tells_news)
    uvloop.run(serve(settings))


if __name__ == "__main__":
    main()
