"""The queue between PostgreSQL and its projections: one row per memory and sink, always the newest version."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from memsys_api.model import SinkRecord
from memsys_api.store.database import Connection, Database

Cause = Literal["away", "record"]

REQUEUED = 10_000
"""How many deliveries one statement makes due again: after a long outage there are more than it has time for."""


@dataclass(frozen=True)
class Claim:
    """One delivery that this process holds until its lease ends."""

    project: str
    memory_id: UUID
    version: int
    attempts: int
    """How many attempts were begun, this one included."""
    revision: int = 0
    """Grows when the same version is asked for again: what was read before is then not enough."""
    spent: bool = False
    """All its attempts were begun before, and whoever began the last one never ended it: not to be tried again."""


@dataclass(frozen=True)
class Failure:
    """A claim that was not applied: when it is due again (``None``: parked), and why."""

    claim: Claim
    cause: Cause
    error: str
    wait: timedelta | None


@dataclass(frozen=True)
class QueueStatus:
    """The queue of one sink as a whole, or within one project."""

    pending: int
    parked: int
    lag_seconds: float
    """For how long the oldest has waited, for its turn or for the sink: not what is parked for its own fault."""
    last_error: str | None


async def enqueue(conn: Connection, project: str, sinks: Sequence[str], changed: Sequence[tuple[UUID, int]]) -> None:
    """Make versions due at every sink, in the transaction that writes them.

    A newer version takes the place of an older one, parked or not. A lease in force stays: the sink may be
    applying the older version right now, and two versions of one memory are never applied at once.

    In order of the memories, as whoever changes several deliveries does: these wait for each other, and never deadlock.
    """
    if not sinks or not changed:
        return
    await conn.execute(
        """
        INSERT INTO deliveries (project, sink, memory_id, version)
        SELECT %s, sink, n.id, n.version
        FROM unnest(%s::uuid[], %s::int[]) AS n(id, version) CROSS JOIN unnest(%s::text[]) AS sink
        ORDER BY n.id, sink
        ON CONFLICT (project, sink, memory_id) DO UPDATE
        SET version = excluded.version, state = 'pending', cause = NULL, attempts = 0, due_at = now(), error = NULL,
            revision = deliveries.revision + (deliveries.version = excluded.version)::int
        WHERE deliveries.version <= excluded.version
        """,
        (project, [i for i, _ in changed], [v for _, v in changed], list(sinks)),
    )


async def claim(
    database: Database,
    sink: str,
    lease: UUID,
    limit: int,
    duration: timedelta,
    project: str | None = None,
    memory_id: UUID | None = None,
    *,
    most: int,
    suspects: int = 0,
) -> list[Claim]:
    """Take up to ``limit`` due deliveries; each counts as one of its ``most`` attempts from now on.

    Of all projects, of one, or one memory of it. What somebody began more than once and left behind is a suspect: of
    those no more than ``suspects`` are taken, so that one that kills its worker is found out and does not take the same
    others with it each time. Having failed because the sink was away says nothing about a record: left behind after
    that, it is counted from the beginning.
    """
    async with database.system() as conn:
        cursor = await conn.execute(
            """
            WITH due AS (
                SELECT project, memory_id, due_at, attempts, lease IS NOT NULL AS left_behind,
                       lease IS NOT NULL AND cause IS NOT DISTINCT FROM 'away' AS anew
                FROM deliveries
                WHERE sink = %(sink)s AND state = 'pending' AND due_at <= now()
                  AND (leased_until IS NULL OR leased_until < now())
                  AND (%(project)s::text IS NULL OR project = %(project)s)
                  AND (%(id)s::uuid IS NULL OR memory_id = %(id)s)
                ORDER BY due_at LIMIT %(limit)s
                FOR UPDATE SKIP LOCKED
            ), told_apart AS (
                SELECT *, left_behind AND attempts > 1 AS suspect,
                       row_number() OVER (PARTITION BY left_behind AND attempts > 1 ORDER BY due_at) AS place
                FROM due
            )
            UPDATE deliveries d
            SET lease = %(lease)s, leased_until = now() + %(duration)s,
                attempts = CASE WHEN t.anew THEN 1 ELSE least(d.attempts + 1, %(most)s) END,
                cause = CASE WHEN NOT t.anew THEN d.cause END
            FROM told_apart t
            WHERE d.sink = %(sink)s AND d.project = t.project AND d.memory_id = t.memory_id
              AND (NOT t.suspect OR t.place <= %(suspects)s)
            RETURNING d.project, d.memory_id, d.version, d.attempts, d.revision, NOT t.anew AND t.attempts >= %(most)s
            """,
            {
                "lease": lease,
                "duration": duration,
                "sink": sink,
                "limit": limit,
                "project": project,
                "id": memory_id,
                "most": most,
                "suspects": suspects,
            },
        )
        return [Claim(*row) for row in await cursor.fetchall()]


async def settle(
    database: Database, sink: str, lease: UUID, applied: Sequence[tuple[Claim, SinkRecord]], failed: Sequence[Failure]
) -> None:
    """Record what became of claims: applied ones leave the queue, unless more has been asked for meanwhile."""
    settled = [held for held, _ in applied] + [failure.claim for failure in failed]
    async with database.system() as conn:
        await conn.execute(_LOCK, (sink, [held.project for held in settled], [held.memory_id for held in settled]))
        if applied:
            values = {
                "sink": sink,
                "lease": lease,
                "projects": [record.project for _, record in applied],
                "ids": [record.id for _, record in applied],
                "versions": [record.version for _, record in applied],
                "revisions": [held.revision for held, _ in applied],
            }
            await conn.execute(_APPLIED, values)
            await conn.execute(_OVERTAKEN, values)
        if failed:  # one statement: an outage makes every delivery fail, again and again
            values = {
                "sink": sink,
                "lease": lease,
                "projects": [failure.claim.project for failure in failed],
                "ids": [failure.claim.memory_id for failure in failed],
                "versions": [failure.claim.version for failure in failed],
                "waits": [failure.wait for failure in failed],
                "causes": [failure.cause for failure in failed],
                "errors": [failure.error for failure in failed],
            }
            await conn.execute(_FAILED, values)


_LOCK = """SELECT FROM deliveries
           WHERE sink = %s AND (project, memory_id) IN (SELECT * FROM unnest(%s::text[], %s::uuid[]))
           ORDER BY project, memory_id FOR UPDATE"""
_DONE = """unnest(%(projects)s::text[], %(ids)s::uuid[], %(versions)s::int[], %(revisions)s::int[])
               AS done(project, id, version, revision)
           WHERE d.sink = %(sink)s AND d.project = done.project AND d.memory_id = done.id AND d.lease = %(lease)s"""
_APPLIED = f"""DELETE FROM deliveries d USING {_DONE}
           AND d.version <= done.version AND d.revision = done.revision"""  # noqa: S608  # own constants
_OVERTAKEN = f"UPDATE deliveries d SET lease = NULL, leased_until = NULL FROM {_DONE}"  # noqa: S608

_FAILED = """UPDATE deliveries d
           SET lease = NULL, leased_until = NULL, cause = failed.cause, error = failed.error,
               state = CASE WHEN d.version <> failed.version THEN d.state
                            WHEN failed.wait IS NULL THEN 'parked' ELSE 'pending' END,
               due_at = CASE WHEN d.version <> failed.version THEN d.due_at
                             ELSE now() + coalesce(failed.wait, '0') END
           FROM unnest(%(projects)s::text[], %(ids)s::uuid[], %(versions)s::int[], %(waits)s::interval[],
                       %(causes)s::text[], %(errors)s::text[])
                AS failed(project, id, version, wait, cause, error)
           WHERE d.sink = %(sink)s AND d.project = failed.project AND d.memory_id = failed.id AND d.lease = %(lease)s"""


async def requeue_away(database: Database, sink: str, *, waiting: bool) -> int:
    """Make due what was parked because the sink was away; with ``waiting`` also what is put off for that. How many.

    :data:`REQUEUED` of them at once; call again while there are as many.
    """
    async with database.system() as conn:
        cursor = await conn.execute(
            """UPDATE deliveries d
               SET state = 'pending', due_at = now(), attempts = CASE d.state WHEN 'parked' THEN 0 ELSE attempts END
               FROM (SELECT project, memory_id FROM deliveries
                     WHERE sink = %(sink)s AND cause = 'away' AND (state = 'parked' OR (%(waiting)s AND due_at > now()))
                       AND (leased_until IS NULL OR leased_until < now())
                     LIMIT %(limit)s FOR UPDATE SKIP LOCKED) away
               WHERE d.sink = %(sink)s AND d.project = away.project AND d.memory_id = away.memory_id""",
            {"sink": sink, "waiting": waiting, "limit": REQUEUED},
        )
    return cursor.rowcount


async def requeue(
    database: Database,
    sink: str,
    project: str | None,
    memory_id: UUID | None,
    *,
    attempts: int,
    before: datetime | None = None,
) -> tuple[int, datetime]:
    """Make parked and waiting deliveries due now: of one memory, a project or all. How many, and when that was.

    What was parked is left one attempt of so many: it is parked again at once, not after a minute, where its cause is
    still there. Waiting deliveries keep theirs.

    :data:`REQUEUED` of them at once; call again while there are as many, with the first call's time as ``before``: what
    has been parked again since is left alone.
    """
    async with database.system() as conn:
        cursor = await conn.execute(
            """WITH again AS (
                   UPDATE deliveries d SET state = 'pending', due_at = now(),
                          attempts = CASE d.state WHEN 'parked' THEN %(attempts)s - 1 ELSE attempts END
                   FROM (SELECT project, memory_id FROM deliveries
                         WHERE sink = %(sink)s
                           AND CASE state WHEN 'parked' THEN due_at <= coalesce(%(before)s, now())
                               ELSE due_at > now() END
                           AND (%(project)s::text IS NULL OR project = %(project)s)
                           AND (%(id)s::uuid IS NULL OR memory_id = %(id)s)
                           AND (leased_until IS NULL OR leased_until < now())
                         LIMIT %(limit)s FOR UPDATE SKIP LOCKED) found
                   WHERE d.sink = %(sink)s AND d.project = found.project AND d.memory_id = found.memory_id
                   RETURNING 1
               ) SELECT count(*), now() FROM again""",
            {
                "sink": sink,
                "project": project,
                "id": memory_id,
                "attempts": attempts,
                "before": before,
                "limit": REQUEUED,
            },
        )
        row = await cursor.fetchone()
    assert row is not None
    return row[0], row[1]


async def under_way(
    database: Database, sink: str, project: str | None, memory_id: UUID | None, since: datetime
) -> bool:
    """Whether anything that was due at a moment has neither been applied nor failed since."""
    async with database.system() as conn:
        cursor = await conn.execute(
            """SELECT EXISTS (
                   SELECT FROM deliveries WHERE sink = %(sink)s AND state = 'pending' AND due_at <= %(since)s
                     AND (%(project)s::text IS NULL OR project = %(project)s)
                     AND (%(id)s::uuid IS NULL OR memory_id = %(id)s))""",
            {"sink": sink, "project": project, "id": memory_id, "since": since},
        )
        row = await cursor.fetchone()
    return row is not None and bool(row[0])


async def status(database: Database, sink: str, project: str | None = None) -> QueueStatus:
    """How much waits, how much is parked, and for how long the oldest that is still to come has waited.

    What is parked because the sink was away is to come, for it follows by itself: an outage would otherwise show no
    lag from its second minute on. What the sink does not take is not, or one such record would be a lag for ever.
    """
    async with database.system() as conn:
        cursor = await conn.execute(
            """SELECT count(*) FILTER (WHERE state = 'pending'), count(*) FILTER (WHERE state = 'parked'),
                      coalesce(extract(epoch FROM now() - min(created_at)
                                       FILTER (WHERE state = 'pending' OR cause = 'away')), 0)::float,
                      (array_agg(error ORDER BY due_at DESC) FILTER (WHERE error IS NOT NULL))[1]
               FROM deliveries WHERE sink = %(sink)s AND (%(project)s::text IS NULL OR project = %(project)s)""",
            {"sink": sink, "project": project},
        )
        row = await cursor.fetchone()
    assert row is not None
    return QueueStatus(*row)


async def queued(database: Database, sink: str, project: str, ids: Sequence[UUID]) -> set[UUID]:
    """Which of these memories have a delivery, pending or parked."""
    async with database.system() as conn:
        cursor = await conn.execute(
            "SELECT memory_id FROM deliveries WHERE sink = %s AND project = %s AND memory_id = ANY(%s)",
            (sink, project, list(ids)),
        )
    return {row[0] for row in await cursor.fetchall()}
