"""Fills an external vector index with the memories there were before it was chosen, and says when it can be asked."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from memsys_api.causes import in_one_line
from memsys_api.ports import SinkUnavailable, VectorSink
from memsys_api.store import deliveries, fills
from memsys_api.store.database import Database, DatabaseUnavailable, StatementTimeout

log = logging.getLogger(__name__)

PERIOD_SECONDS = 2.0
QUEUED = 4 * fills.CHUNK
"""How long the queue may be before more is put into it."""


class Filling:
    """One for each replica; they share the work through PostgreSQL."""

    def __init__(self, database: Database, sink: VectorSink, wake: Callable[[], None]) -> None:
        self._database = database
        self._sink = sink
        self._wake = wake
        self.filled = False
        """Whether every memory has been queued for this index once; until then it does not know them all."""

    async def keep(self) -> None:
        """Fill, look after the collection, look again; never returns."""
        while True:
            try:
                more = await self.step()
            except (DatabaseUnavailable, StatementTimeout, SinkUnavailable) as error:
                more = False
                log.debug("vector index not filled", extra={"reason": in_one_line(error)})
            except Exception:
                more = False
                log.exception("filling the vector index failed")
            if not more:
                await asyncio.sleep(PERIOD_SECONDS)

    async def step(self) -> bool:
        """Queue the next memories, unless enough is queued; whether there was anything to queue."""
        name, target = self._sink.name, self._sink.target
        if not await self._sink.present():
            self.filled = False
            await self._sink.prepare()
        fill = await fills.state(self._database, name)
        if fill is None or fill.target != target:
            self.filled = False
            await fills.begin(self._database, name, target)
            return True
        self.filled = fill.filled
        if not fill.due:
            return False
        if (await deliveries.status(self._database, name)).pending > QUEUED:
            return False
        if queued := await fills.advance(self._database, name):
            log.info("vector index is being filled", extra={"sink": name, "queued": queued})
            self._wake()
        return True
