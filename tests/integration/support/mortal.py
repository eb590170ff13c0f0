"""A process that carries deliveries away and dies over some of them, as of a fault in a driver: ``mortal KIND DSN``.

``sink`` applies to a graph that is nowhere and dies over every batch with a memory that says "deadly"; ``webhooks``
calls for real and dies over every name that begins with "deadly". A sink prints the id of every memory it applied.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from ipaddress import ip_network
from uuid import UUID

from memsys_api.model import SinkRecord
from memsys_api.sinks.breaker import Breaker
from memsys_api.sinks.dispatcher import Dispatcher
from memsys_api.sinks.webhooks.dispatcher import WebhookDispatcher
from memsys_api.sinks.webhooks.sealing import Sealer
from memsys_api.sinks.webhooks.sender import Sender
from memsys_api.store.database import Database

from .parts import MemorySink


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class _MortalSink(MemorySink):
    async def apply(self, records: Sequence[SinkRecord]) -> dict[UUID, str]:
        if any(record.memory and "deadly" in record.memory.text for record in records):
            _die()
        for record in records:
            print(record.id, flush=True)
        return await super().apply(records)


async def _resolve(host: str, port: int) -> Sequence[str]:
    if host.startswith("deadly"):
        _die()
    return ["127.0.0.1"]


async def main(kind: str, dsn: str) -> None:
    """Until the process is ended."""
    database = Database(dsn, size=8, timeout=10)
    await database.open()
    if kind == "sink":
        Dispatcher(database, _MortalSink(), Breaker("graph")).start()
    else:
        sender = Sender([ip_network("127.0.0.0/8")], _resolve, timeout=5)
        WebhookDispatcher(database, sender, Sealer([]), timeout=5).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
