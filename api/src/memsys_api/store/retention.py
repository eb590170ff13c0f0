"""Forgets what has only to be kept for a while: idempotency keys and the log of changes."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta

from memsys_api.store.database import Database, DatabaseUnavailable, StatementTimeout
from memsys_api.store.records import projects

log = logging.getLogger(__name__)

IDEMPOTENCY = timedelta(days=2)
"""How long a repeated request is known as one."""
OUTBOX = timedelta(days=7)
"""How far back a reader of changes can resume."""
_PERIOD_SECONDS = 3600.0


async def keep(database: Database) -> None:
    """Sweep every hour; never returns. Replicas that sweep at once do no harm."""
    while True:
        try:
            await sweep(database)
        except (DatabaseUnavailable, StatementTimeout) as error:
            log.warning("sweep put off", extra={"reason": " ".join(str(error).split())})
        except Exception:
            log.exception("sweep failed")
        await asyncio.sleep(_PERIOD_SECONDS)


async def sweep(database: Database) -> int:
    """Delete what is past its time, project by project behind the wall; says how many rows."""
    removed = 0
    for project in await projects(database):
        async with database.transaction(project) as conn:
            keys = await conn.execute(
                "DELETE FROM idempotency WHERE project = %s AND created_at < now() - %s", (project, IDEMPOTENCY)
            )
            events = await conn.execute(
                "DELETE FROM outbox WHERE project = %s AND occurred_at < now() - %s", (project, OUTBOX)
            )
        removed += keys.rowcount + events.rowcount
    return removed
