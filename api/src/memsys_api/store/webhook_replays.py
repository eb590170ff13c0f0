"""Telling a webhook again: a batch of events at a time, each in its own transaction."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from memsys_api.store import audit
from memsys_api.store.database import Database, DatabaseUnavailable, StatementTimeout
from memsys_api.store.webhook_deliveries import CONCERNED, FAN_OUT

log = logging.getLogger(__name__)

BATCH = 5_000
SECONDS = 20.0
"""For how long batches are begun: whoever asked waits for the answer, and is told how to go on."""


@dataclass(frozen=True)
class Replay:
    """How much was made due, and the event after which there is more to be done (``None``: that was all)."""

    queued: int
    go_on_after: int | None


async def replay_one(database: Database, project: str, webhook_id: UUID, event_id: int) -> int:
    """Make one event due anew, with all its attempts; how many that were: none where it is unknown or under way."""
    values = {"project": project, "webhook": webhook_id, "first": event_id, "last": event_id, "since": None}
    return await _batch(database, _SINCE, values)


async def replay(
    database: Database, project: str, webhook_id: UUID, *, since: datetime | None, after: int = 0
) -> Replay:
    """Make events due anew, with all their attempts: all since a time, or (``None``) the parked ones.

    Events that the outbox still holds are delivered even where the webhook was not to hear of them at the time,
    because it was not there yet or asked for others. Each batch stays queued whatever becomes of the next. Raises
    :class:`DatabaseUnavailable` and :class:`StatementTimeout` where not even the first one could be.
    """
    values: dict[str, Any] = {"project": project, "webhook": webhook_id, "since": since, "limit": BATCH}
    find, make_due = (_FIND_PARKED, _PARKED) if since is None else (_FIND_SINCE, _SINCE)
    until = time.monotonic() + SECONDS
    queued, reached = 0, after
    newest: int | None = None
    while newest is None or time.monotonic() < until:
        try:
            async with database.transaction(project) as conn:
                cursor = await conn.execute(find, {**values, "after": reached, "newest": newest})
                row = await cursor.fetchone()
                assert row is not None
                first, last, newest = row
                if last is None and reached == after:  # it was asked for all the same
                    await audit.record(conn, project, "webhook.replayed", webhook_id, queued=0)
            if last is None:
                return Replay(queued, None)
            queued += await _batch(database, make_due, {**values, "first": first, "last": last})
        except (DatabaseUnavailable, StatementTimeout) as error:
            if reached == after:
                raise
            log.warning("replay interrupted", extra={"webhook": str(webhook_id), "reason": str(error)})
            break
        reached = last
    return Replay(queued, reached)


async def _batch(database: Database, make_due: str, values: dict[str, Any]) -> int:
    async with database.transaction(values["project"]) as conn:
        cursor = await conn.execute(make_due, values)
        row = await cursor.fetchone()
        assert row is not None
        queued = int(row[0])
        await audit.record(conn, values["project"], "webhook.replayed", values["webhook"], queued=queued)
    return queued


# What comes while a replay goes on is none of its business: it ends at the event that is the newest when it begins.
_FIND_SINCE = """
    WITH newest AS (SELECT coalesce(%(newest)s::bigint, max(id)) AS id FROM outbox WHERE project = %(project)s),
         found AS (SELECT o.id FROM outbox o, newest
                   WHERE o.project = %(project)s AND o.id > %(after)s AND o.id <= newest.id
                     AND o.occurred_at >= %(since)s
                   ORDER BY o.id LIMIT %(limit)s)
    SELECT min(found.id), max(found.id), (SELECT id FROM newest) FROM found"""
_FIND_PARKED = """
    WITH newest AS (SELECT coalesce(%(newest)s::bigint, max(event_id)) AS id FROM webhook_deliveries
                    WHERE project = %(project)s AND webhook_id = %(webhook)s),
         found AS (SELECT d.event_id AS id FROM webhook_deliveries d, newest
                   WHERE d.project = %(project)s AND d.webhook_id = %(webhook)s AND d.event_id > %(after)s
                     AND d.event_id <= newest.id AND d.state = 'parked'
                   ORDER BY d.event_id LIMIT %(limit)s)
    SELECT min(found.id), max(found.id), (SELECT id FROM newest) FROM found"""
_AGAIN = "SET state = 'pending', attempts = 0, due_at = now(), cause = NULL, error = NULL, delivered_at = NULL"
_SINCE = f"""
    WITH due AS (
        {FAN_OUT}
        FROM outbox o {CONCERNED}
        WHERE o.project = %(project)s AND w.id = %(webhook)s AND o.id BETWEEN %(first)s AND %(last)s
          AND (%(since)s::timestamptz IS NULL OR o.occurred_at >= %(since)s)
        ON CONFLICT (project, webhook_id, event_id) DO UPDATE {_AGAIN}
        WHERE webhook_deliveries.lease IS NULL OR webhook_deliveries.leased_until < now()
        RETURNING 1
    ) SELECT count(*) FROM due"""  # noqa: S608  # own constants
_PARKED = f"""
    WITH due AS (
        UPDATE webhook_deliveries {_AGAIN}
        WHERE project = %(project)s AND webhook_id = %(webhook)s AND state = 'parked'
          AND event_id BETWEEN %(first)s AND %(last)s
        RETURNING 1
    ) SELECT count(*) FROM due"""  # noqa: S608  # own constants
