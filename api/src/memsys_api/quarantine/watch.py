"""Tells Prometheus how many held writes wait for somebody to look at them."""

from __future__ import annotations

import asyncio
import logging

from memsys_api import metrics
from memsys_api.store import held
from memsys_api.store.database import Database, DatabaseUnavailable, StatementTimeout

log = logging.getLogger(__name__)

_PERIOD_SECONDS = 15.0


async def keep(database: Database) -> None:
    """Look every few seconds; never returns."""
    while True:
        try:
            metrics.QUARANTINE_WAITING.set(await held.waiting(database))
        except (DatabaseUnavailable, StatementTimeout):
            log.debug("held writes not counted: database away")
        await asyncio.sleep(_PERIOD_SECONDS)
