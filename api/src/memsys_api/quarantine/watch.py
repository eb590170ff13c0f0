"""Tells Prometheus how many held writes wait for somebody to look at them."""

from __future__ import annotations

import logging

from memsys_api import metrics
from memsys_api.store import chores, held
from memsys_api.store.database import Database

_PERIOD_SECONDS = 15.0


async def keep(database: Database) -> None:
    """Look every few seconds; never returns."""

    async def count() -> None:
        metrics.QUARANTINE_WAITING.set(await held.waiting(database))

    await chores.repeat("quarantine", count, _PERIOD_SECONDS, put_off=logging.DEBUG)
