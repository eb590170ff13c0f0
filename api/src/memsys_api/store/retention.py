"""Forgets what has only to be kept for a while: idempotency keys, the log of changes, memories that expire."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from memsys_api.metrics import EXPIRED
from memsys_api.model import Scope
from memsys_api.store import (
    add_events,
    changes,
    chores,
    deliveries,
    erasures,
    inferences,
    rates,
    shaped_exports,
    versions,
    webhook_deliveries,
)
from memsys_api.store.database import Database
from memsys_api.store.generations import Generation
from memsys_api.store.outbox import Outbox
from memsys_api.store.records import projects

IDEMPOTENCY = timedelta(days=2)
"""How long a repeated request is known as one."""
OUTBOX = timedelta(days=7)
"""How far back a reader of changes can resume, and a webhook be told again."""
EXPORTS = timedelta(days=7)
"""How long an export that was shaped can be fetched."""
PERIOD = timedelta(hours=1)
"""How often what is past its time is swept."""
_EXPIRY_SECONDS = 300.0
_EXPIRY_BATCH = 500


async def keep(database: Database, ledger: timedelta | None = None) -> None:
    """Sweep every hour; never returns. Replicas that sweep at once do no harm.

    ``ledger`` is how long finished erasures are remembered; ``None``: for ever.
    """
    await chores.repeat("retention", lambda: sweep(database, ledger), PERIOD.total_seconds())


async def expire_by_and_by(database: Database, generation: Generation, outbox: Outbox) -> None:
    """Bury expired memories every few minutes; never returns. No read shows them meanwhile, but sinks hold them."""

    async def once() -> None:
        if await expire(database, generation, outbox.sinks):
            outbox.wake()

    await chores.repeat("expiry", once, _EXPIRY_SECONDS)


async def sweep(database: Database, ledger: timedelta | None = None) -> int:
    """Delete what is past its time, project by project behind the wall; says how many rows."""
    removed = await webhook_deliveries.forget(database, OUTBOX)
    if ledger is not None:
        removed += await erasures.forget(database, ledger)
    for project in await projects(database):
        async with database.transaction(project) as conn:
            keys = await conn.execute(
                "DELETE FROM idempotency WHERE project = %s AND created_at < now() - %s", (project, IDEMPOTENCY)
            )
            removed += await changes.forget(conn, project, OUTBOX)
            removed += await add_events.forget(conn, project, OUTBOX)
            removed += await shaped_exports.forget(conn, project, EXPORTS)
        removed += keys.rowcount
    return removed + await rates.sweep(database)


async def expire(database: Database, generation: Generation, sinks: Sequence[str]) -> int:
    """Bury memories whose time is up, so that sinks forget them too; says how many. Their versions stay."""
    buried = 0
    for project in await projects(database):
        while True:
            async with database.transaction(project) as conn:
                cursor = await conn.execute(
                    """SELECT id FROM memory_versions
                       WHERE project = %s AND recorded_to IS NULL AND state = 'active' AND expires_at <= now()
                       ORDER BY expires_at LIMIT %s""",
                    (project, _EXPIRY_BATCH),
                )
                ids = [row[0] for row in await cursor.fetchall()]
                if not ids:
                    break
                changed = await versions.bury(conn, generation, Scope(project), ids, {"expired": True}, which="expired")
                await inferences.settle(conn, project, ids)
                await deliveries.enqueue(conn, project, sinks, changed)
            buried += len(changed)
    EXPIRED.inc(buried)
    return buried
