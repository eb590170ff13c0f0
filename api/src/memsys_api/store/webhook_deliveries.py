"""The queue between events and webhooks: one row per event and webhook, written in the event's own transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from memsys_api.model import Scope, WebhookDeliveryState
from memsys_api.store.database import Connection, Database

Cause = Literal["away", "refused", "paused"]

CAUGHT_UP = 1_000
"""How many missed deliveries one statement makes due again: who records an answer meanwhile waits for it."""


@dataclass(frozen=True)
class Claim:
    """One delivery that this process holds until its lease ends."""

    project: str
    webhook_id: UUID
    event_id: int
    event: str
    memory_id: UUID
    version: int
    occurred_at: datetime
    attempts: int
    """How many attempts were begun, this one included."""
    lease: UUID
    suspect: bool
    """Was left behind by who began it, and not for the first time."""
    spent: bool
    """All its attempts were begun before, and whoever began the last one never ended it: not to be tried again."""


@dataclass(frozen=True)
class QueueStatus:
    """The queue as a whole."""

    pending: int
    parked: int
    lag_seconds: float


@dataclass(frozen=True)
class Delivery:
    """One event as far as one webhook is concerned."""

    event_id: int
    event: str
    memory_id: UUID
    version: int
    occurred_at: datetime
    state: WebhookDeliveryState
    attempts: int
    due_at: datetime
    status: int | None
    error: str | None
    delivered_at: datetime | None


@dataclass(frozen=True)
class Subject:
    """What a delivery's event is about, as it is now."""

    scope: Scope
    text: str | None
    """Of the event's version; ``None`` when the memory is deleted or expired by now, or erased."""


async def claim(
    database: Database,
    lease: UUID,
    duration: timedelta,
    *,
    limit: int,
    each: int,
    free: Mapping[UUID, int],
    most: int,
    suspects: int,
) -> list[Claim]:
    """Take due deliveries, up to ``limit`` and of one webhook up to ``each``, or as many as ``free`` says.

    Each counts as one of its ``most`` attempts from now on. Suspects, no more than so many of which are taken, and what
    was left behind when its webhook was away before, are as in :func:`memsys_api.store.deliveries.claim`.

    Of one memory the oldest alone, and only when no older one waits or is under way: a webhook hears of a memory's
    changes in their order. Webhooks take turns by chance, so that none waits for the others' queues.
    """
    async with database.system() as conn:
        cursor = await conn.execute(
            """
            WITH RECURSIVE lanes AS (
                (SELECT project, webhook_id FROM webhook_deliveries WHERE state = 'pending'
                 ORDER BY project, webhook_id LIMIT 1)
                UNION ALL
                SELECT following.project, following.webhook_id FROM lanes, LATERAL (
                    SELECT project, webhook_id FROM webhook_deliveries
                    WHERE state = 'pending' AND (project, webhook_id) > (lanes.project, lanes.webhook_id)
                    ORDER BY project, webhook_id LIMIT 1) following
            ), due AS (
                SELECT d.project, d.webhook_id, d.event_id, d.due_at, d.attempts, d.lease IS NOT NULL AS left_behind,
                       d.lease IS NOT NULL AND d.cause IS NOT DISTINCT FROM 'away' AS anew
                FROM (SELECT project, webhook_id, coalesce(f.free, %(each)s) AS free
                      FROM lanes LEFT JOIN unnest(%(busy)s::uuid[], %(free)s::int[]) AS f(id, free) ON f.id = webhook_id
                      ORDER BY random()) lane
                CROSS JOIN LATERAL (
                    SELECT * FROM webhook_deliveries d
                    WHERE d.project = lane.project AND d.webhook_id = lane.webhook_id
                      AND d.state = 'pending' AND d.due_at <= now()
                      AND (d.leased_until IS NULL OR d.leased_until < now())
                      AND NOT EXISTS (SELECT FROM webhook_deliveries older
                                      WHERE older.project = d.project AND older.webhook_id = d.webhook_id
                                        AND older.memory_id = d.memory_id AND older.version < d.version
                                        AND older.state = 'pending')
                    ORDER BY d.due_at LIMIT lane.free
                    FOR UPDATE OF d SKIP LOCKED
                ) d
                LIMIT %(limit)s
            ), told_apart AS (
                SELECT *, left_behind AND attempts > 1 AS suspect,
                       row_number() OVER (PARTITION BY left_behind AND attempts > 1 ORDER BY due_at) AS place
                FROM due
            )
            UPDATE webhook_deliveries d
            SET lease = %(lease)s, leased_until = now() + %(duration)s,
                attempts = CASE WHEN t.anew THEN 1 ELSE least(d.attempts + 1, %(most)s) END,
                cause = CASE WHEN NOT t.anew THEN d.cause END
            FROM told_apart t
            WHERE d.project = t.project AND d.webhook_id = t.webhook_id AND d.event_id = t.event_id
              AND (NOT t.suspect OR t.place <= %(suspects)s)
            RETURNING d.project, d.webhook_id, d.event_id, d.event, d.memory_id, d.version, d.occurred_at, d.attempts,
                      d.lease, t.suspect, NOT t.anew AND t.attempts >= %(most)s
            """,
            {
                "lease": lease,
                "duration": duration,
                "limit": limit,
                "each": each,
                "busy": list(free.keys()),
                "free": list(free.values()),
                "most": most,
                "suspects": suspects,
            },
        )
        return [Claim(*row) for row in await cursor.fetchall()]


async def subject(database: Database, claim: Claim) -> Subject | None:
    """Whose memory it is and what it says; ``None``: nothing is left of it."""
    async with database.transaction(claim.project) as conn:
        cursor = await conn.execute(
            """SELECT m.project, m.user_id, m.agent_id, m.app_id, m.run_id, m.text, EXISTS (
                   SELECT FROM memory_versions head
                   WHERE head.project = m.project AND head.id = m.id AND head.recorded_to IS NULL
                     AND head.state = 'active' AND (head.expires_at IS NULL OR head.expires_at > now()))
               FROM memory_versions m WHERE m.project = %s AND m.id = %s AND m.version = %s""",
            (claim.project, claim.memory_id, claim.version),
        )
        row = await cursor.fetchone()
    return None if row is None else Subject(Scope(*row[:5]), row[5] if row[6] else None)


async def delivered(database: Database, claim: Claim, status: int | None) -> bool:
    """Record that the webhook has heard; whether it missed any while it was away, for :func:`catch_up` to make due."""
    async with database.system() as conn:
        await conn.execute(
            """UPDATE webhook_deliveries
               SET state = 'delivered', cause = NULL, error = NULL, status = %s, delivered_at = now(), lease = NULL,
                   leased_until = NULL
               WHERE project = %s AND webhook_id = %s AND event_id = %s AND lease = %s""",
            (status, claim.project, claim.webhook_id, claim.event_id, claim.lease),
        )
        return await note_return(conn, claim.project, claim.webhook_id, "away")


async def note_return(conn: Connection, project: str, webhook_id: UUID, cause: Literal["away", "paused"]) -> bool:
    """Have what is parked for this cause made due again, if anything is; whether there was."""
    cursor = await conn.execute(
        """INSERT INTO webhook_returns AS r (project, webhook_id, cause)
           SELECT %(project)s, %(webhook)s, %(cause)s
           WHERE EXISTS (SELECT FROM webhook_deliveries
                         WHERE project = %(project)s AND webhook_id = %(webhook)s AND state = 'parked'
                           AND cause = %(cause)s)
           ON CONFLICT (project, webhook_id, cause) DO UPDATE SET noted_at = greatest(r.noted_at, excluded.noted_at)
           RETURNING true""",
        {"project": project, "webhook": webhook_id, "cause": cause},
    )
    return await cursor.fetchone() is not None


async def catch_up(database: Database) -> int | None:
    """Make due what one webhook missed, :data:`CAUGHT_UP` of it at once; how many. ``None``: no webhook has returned.

    In the order of the events, and of one webhook by one replica at a time: of one memory the older event is due first.
    """
    async with database.system() as conn:
        cursor = await conn.execute(
            """SELECT project, webhook_id, cause, noted_at FROM webhook_returns
               ORDER BY random() LIMIT 1 FOR UPDATE SKIP LOCKED"""
        )
        row = await cursor.fetchone()
        if row is None:
            return None
        values = {"project": row[0], "webhook": row[1], "cause": row[2], "noted": row[3], "limit": CAUGHT_UP}
        cursor = await conn.execute(
            """WITH missed AS (
                   SELECT event_id FROM webhook_deliveries
                   WHERE project = %(project)s AND webhook_id = %(webhook)s AND state = 'parked' AND cause = %(cause)s
                     AND due_at <= %(noted)s
                   ORDER BY event_id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
               ), due AS (
                   UPDATE webhook_deliveries d SET state = 'pending', attempts = 0, due_at = now()
                   FROM missed WHERE d.project = %(project)s AND d.webhook_id = %(webhook)s
                                 AND d.event_id = missed.event_id
                   RETURNING 1
               ) SELECT count(*) FROM due""",
            values,
        )
        found = await cursor.fetchone()
        assert found is not None
        due = int(found[0])
        if due < CAUGHT_UP:
            await conn.execute(
                """DELETE FROM webhook_returns
                   WHERE project = %(project)s AND webhook_id = %(webhook)s AND cause = %(cause)s""",
                values,
            )
    return due


async def failed(
    database: Database, claim: Claim, cause: Cause, wait: timedelta | None, status: int | None, error: str
) -> None:
    """Give a claim back: due again after ``wait``, or (``None``) parked."""
    async with database.system() as conn:
        await conn.execute(
            """UPDATE webhook_deliveries
               SET lease = NULL, leased_until = NULL, cause = %(cause)s, status = %(status)s, error = %(error)s,
                   state = CASE WHEN %(wait)s::interval IS NULL THEN 'parked' ELSE 'pending' END,
                   due_at = now() + coalesce(%(wait)s::interval, '0')
               WHERE project = %(project)s AND webhook_id = %(webhook)s AND event_id = %(event)s
                 AND lease = %(lease)s""",
            {
                "cause": cause,
                "status": status,
                "error": error,
                "wait": wait,
                "project": claim.project,
                "webhook": claim.webhook_id,
                "event": claim.event_id,
                "lease": claim.lease,
            },
        )


async def release(database: Database, claim: Claim) -> None:
    """Give a claim back as if it had never been taken."""
    async with database.system() as conn:
        await conn.execute(
            """UPDATE webhook_deliveries SET lease = NULL, leased_until = NULL, attempts = attempts - 1
               WHERE project = %s AND webhook_id = %s AND event_id = %s AND lease = %s""",
            (claim.project, claim.webhook_id, claim.event_id, claim.lease),
        )


FAN_OUT = """INSERT INTO webhook_deliveries (project, webhook_id, event_id, event, memory_id, version, occurred_at)
              SELECT o.project, w.id, o.id, o.event, o.memory_id, o.version, o.occurred_at"""
"""Queues events, as `o`, for webhooks, as `w`."""
# A deletion concerns whom the memory concerned, whether or not an erasure has taken it since.
CONCERNED = """LEFT JOIN memory_versions m ON m.project = o.project AND m.id = o.memory_id AND m.version = o.version
                JOIN webhooks w ON w.project = o.project AND o.event = ANY (w.events)
                 AND (m.id IS NOT NULL OR o.event = 'deleted')
                 AND (w.user_id IS NULL OR w.user_id = coalesce(m.user_id, o.user_id))
                 AND (w.agent_id IS NULL OR w.agent_id = coalesce(m.agent_id, o.agent_id))
                 AND (w.app_id IS NULL OR w.app_id = coalesce(m.app_id, o.app_id))
                 AND (w.run_id IS NULL OR w.run_id = coalesce(m.run_id, o.run_id))"""
"""Joins events, as `o`, with the webhooks, as `w`, that ask for them."""
INSERT_EVENTS = f"""WITH o AS (
        INSERT INTO outbox (project, event, memory_id, version, user_id, agent_id, app_id, run_id)
        SELECT %(project)s, %(event)s, n.id, n.version, m.user_id, m.agent_id, m.app_id, m.run_id
        FROM unnest(%(ids)s::uuid[], %(versions)s::int[]) WITH ORDINALITY AS n(id, version, place)
        LEFT JOIN memory_versions m
          ON %(event)s = 'deleted' AND m.project = %(project)s AND m.id = n.id AND m.version = n.version
        ORDER BY n.place
        RETURNING project, id, event, memory_id, version, occurred_at, user_id, agent_id, app_id, run_id
    ) {FAN_OUT} FROM o {CONCERNED} WHERE w.active"""  # noqa: S608  # own constants
"""Notes changes and queues them for every webhook that asks for them, in the transaction that makes them."""


async def page(
    database: Database,
    project: str,
    webhook_id: UUID,
    *,
    state: WebhookDeliveryState | None,
    before: int | None,
    limit: int,
) -> tuple[list[Delivery], int | None]:
    """Deliveries of one webhook, newest first, and the event to go on from (``None``: that was all)."""
    async with database.system() as conn:
        cursor = await conn.execute(
            """SELECT event_id, event, memory_id, version, occurred_at, state, attempts, due_at, status, error,
                      delivered_at
               FROM webhook_deliveries
               WHERE project = %(project)s AND webhook_id = %(webhook)s
                 AND (%(state)s::text IS NULL OR state = %(state)s)
                 AND (%(before)s::bigint IS NULL OR event_id < %(before)s)
               ORDER BY event_id DESC LIMIT %(limit)s""",
            {"project": project, "webhook": webhook_id, "state": state, "before": before, "limit": limit + 1},
        )
        rows = [Delivery(*row) for row in await cursor.fetchall()]
    return rows[:limit], rows[limit - 1].event_id if len(rows) > limit else None


async def status(database: Database) -> QueueStatus:
    """How much waits, how much is parked, and for how long the oldest that is still to come has waited.

    What is parked because its webhook is away follows by itself; what is refused, or paused by somebody, does not, and
    would be a lag for ever.
    """
    async with database.system() as conn:
        cursor = await conn.execute(
            """SELECT (SELECT count(*) FROM webhook_deliveries WHERE state = 'pending'),
                      (SELECT count(*) FROM webhook_deliveries WHERE state = 'parked'),
                      coalesce(extract(epoch FROM now() - least(
                          (SELECT min(created_at) FROM webhook_deliveries WHERE state = 'pending'),
                          (SELECT min(created_at) FROM webhook_deliveries
                           WHERE state = 'parked' AND cause = 'away'))), 0)::float"""
        )
        row = await cursor.fetchone()
    assert row is not None
    return QueueStatus(*row)


async def forget(database: Database, age: timedelta) -> int:
    """Delete what is older than this, whatever became of it; says how many."""
    async with database.system() as conn:
        cursor = await conn.execute("DELETE FROM webhook_deliveries WHERE created_at < now() - %s", (age,))
    return cursor.rowcount
