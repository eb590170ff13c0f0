"""The requests to forget, across projects: who asked for what, how far it is, and the receipt."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from psycopg.types.json import Jsonb

from memsys_api.model import ErasureState, ErasureStep, Scope
from memsys_api.store import archive, audit
from memsys_api.store.database import Connection, Database
from memsys_api.store.erasure import Target, date_back

FIRST: ErasureStep = "note"


@dataclass(frozen=True)
class Erasure:
    """One request to forget."""

    project: str
    id: UUID
    scope: dict[str, Any]
    recorded_before: datetime
    """What was recorded later is new and stays."""
    state: ErasureState
    step: ErasureStep
    waits_for: str | None
    removed: dict[str, dict[str, int]]
    receipt: dict[str, Any] | None
    requested_by: str
    requested_at: datetime
    mark: datetime | None
    """When it was verified that nothing of it is left."""
    finished_at: datetime | None

    @property
    def target(self) -> Target:
        """What is to be forgotten."""
        scope, memory_ids = _meant(self.project, self.scope)
        return Target(scope, self.recorded_before, memory_ids)


def _meant(project: str, given: Mapping[str, Any]) -> tuple[Scope, list[UUID] | None]:
    """Whose memories are to be forgotten, and which of them where not all."""
    memory_ids = given.get("memory_ids")
    return (
        Scope(project, **{name: value for name, value in given.items() if name.endswith("_id")}),
        None if memory_ids is None else [UUID(str(memory_id)) for memory_id in memory_ids],
    )


_COLUMNS = (
    "project, id, scope, recorded_before, state, step, waits_for, removed, receipt, requested_by, requested_at, mark, "
    "finished_at"
)


async def request(
    database: Database,
    project: str,
    erasure: UUID,
    scope: Mapping[str, Any],
    actor: str,
    *,
    requested_at: datetime | None = None,
    recorded_before: datetime | None = None,
) -> Erasure:
    """Have what is recorded by now forgotten, or (the same id) once more, as after a restore."""
    async with database.transaction(project) as conn:
        # An import or a late add under way is swept, because the clock is read after it; the next one knows of this.
        await archive.alone(conn, project)
        if recorded_before is None:
            await date_back(conn, *_meant(project, scope))
        cursor = await conn.execute(
            f"""INSERT INTO erasures (project, id, scope, recorded_before, step, requested_by, requested_at)
                VALUES (%s, %s, %s, coalesce(%s, clock_timestamp()), %s, %s, coalesce(%s, now()))
                ON CONFLICT (project, id) DO UPDATE
                SET state = 'running', step = excluded.step, due_at = now(), waits_for = NULL
                RETURNING {_COLUMNS}""",  # noqa: S608
            (project, erasure, Jsonb(dict(scope)), recorded_before, FIRST, actor, requested_at),
        )
        row = await cursor.fetchone()
        await audit.record(conn, project, "erasure.requested", erasure)
    assert row is not None
    return Erasure(*row)


async def claim(database: Database, lease: UUID, duration: timedelta) -> Erasure | None:
    """Take the erasure that is due for longest, if any."""
    async with database.system() as conn:
        cursor = await conn.execute(
            f"""UPDATE erasures e SET lease = %(lease)s, leased_until = now() + %(duration)s
                FROM (SELECT project AS p, id AS i FROM erasures
                      WHERE state = 'running' AND due_at <= now() AND (leased_until IS NULL OR leased_until < now())
                      ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED) due
                WHERE e.project = due.p AND e.id = due.i RETURNING {_COLUMNS}""",  # noqa: S608
            {"lease": lease, "duration": duration},
        )
        row = await cursor.fetchone()
    return None if row is None else Erasure(*row)


async def extend(database: Database, erasure: Erasure, lease: UUID, duration: timedelta) -> bool:
    """Hold a claim for longer; ``False``: somebody else has it."""
    async with database.system() as conn:
        cursor = await conn.execute(
            """UPDATE erasures SET leased_until = now() + %s
               WHERE project = %s AND id = %s AND lease = %s AND state = 'running' RETURNING true""",
            (duration, erasure.project, erasure.id, lease),
        )
        return await cursor.fetchone() is not None


async def advance(
    conn: Connection,
    erasure: Erasure,
    lease: UUID,
    step: ErasureStep,
    *,
    removed: tuple[str, Mapping[str, int]] | None = None,
    verified: Mapping[str, Any] | None = None,
) -> bool:
    """Note in the caller's transaction how far it is; ``False``: somebody else has it, undo the transaction.

    ``verified`` is what was counted when nothing was left.
    """
    cursor = await conn.execute(
        "SELECT removed FROM erasures WHERE project = %s AND id = %s FOR UPDATE", erasure_key(erasure)
    )
    row = await cursor.fetchone()
    counts: dict[str, dict[str, int]] = row[0] if row else {}
    if removed is not None:
        store, more = removed
        before = counts.get(store, {})
        counts[store] = {name: before.get(name, 0) + more.get(name, 0) for name in before | dict(more)}
    cursor = await conn.execute(
        """UPDATE erasures SET step = %(step)s, removed = %(removed)s, waits_for = NULL,
                  mark = CASE WHEN %(verified)s::jsonb IS NULL THEN mark ELSE clock_timestamp() END,
                  receipt = coalesce(jsonb_build_object('verified', %(verified)s::jsonb), receipt)
           WHERE project = %(project)s AND id = %(id)s AND lease = %(lease)s RETURNING true""",
        {
            "step": step,
            "removed": Jsonb(counts),
            "verified": None if verified is None else Jsonb(dict(verified)),
            "project": erasure.project,
            "id": erasure.id,
            "lease": lease,
        },
    )
    return await cursor.fetchone() is not None


async def put_off(database: Database, erasure: Erasure, lease: UUID, wait: timedelta, waits_for: str | None) -> None:
    """Give a claim back, due again after a while, saying what it waits for."""
    async with database.system() as conn:
        await conn.execute(
            """UPDATE erasures SET lease = NULL, leased_until = NULL, due_at = now() + %s, waits_for = %s
               WHERE project = %s AND id = %s AND lease = %s""",
            (wait, waits_for, *erasure_key(erasure), lease),
        )


async def finish(conn: Connection, erasure: Erasure, lease: UUID, receipt: Mapping[str, Any]) -> bool:
    """Close an erasure with its receipt, in the caller's transaction; ``False``: somebody else has it."""
    cursor = await conn.execute(
        """UPDATE erasures SET state = 'done', receipt = %s, finished_at = now(), waits_for = NULL, renamed = '{}',
                  lease = NULL, leased_until = NULL
           WHERE project = %s AND id = %s AND lease = %s RETURNING true""",
        (Jsonb(dict(receipt)), *erasure_key(erasure), lease),
    )
    if await cursor.fetchone() is None:
        return False
    await conn.execute("DELETE FROM erased WHERE project = %s AND erasure_id = %s", erasure_key(erasure))
    await audit.record(conn, erasure.project, "erasure.finished", erasure.id, removed=erasure.removed)
    return True


async def get(database: Database, project: str, erasure: UUID) -> Erasure | None:
    async with database.system() as conn:
        cursor = await conn.execute(
            f"SELECT {_COLUMNS} FROM erasures WHERE project = %s AND id = %s",  # noqa: S608
            (project, erasure),
        )
        row = await cursor.fetchone()
    return None if row is None else Erasure(*row)


async def page(database: Database, project: str, *, limit: int, before: int | None) -> tuple[list[Erasure], int | None]:
    """A project's erasures, newest first, and the position to go on from."""
    async with database.system() as conn:
        cursor = await conn.execute(
            f"""SELECT {_COLUMNS}, seq FROM erasures
                WHERE project = %(project)s AND (%(before)s::bigint IS NULL OR seq < %(before)s)
                ORDER BY seq DESC LIMIT %(limit)s""",  # noqa: S608
            {"project": project, "before": before, "limit": limit + 1},
        )
        rows = await cursor.fetchall()
    found = [Erasure(*row[:-1]) for row in rows[:limit]]
    return found, rows[limit - 1][-1] if len(rows) > limit else None


async def ledger(database: Database, projects: Sequence[str] | None) -> AsyncIterator[Erasure]:
    """All erasures, oldest first, in pages: of these projects, or (``None``) of all."""
    after = 0
    while True:
        async with database.system() as conn:
            cursor = await conn.execute(
                f"""SELECT {_COLUMNS}, seq FROM erasures
                    WHERE seq > %(after)s AND (%(projects)s::text[] IS NULL OR project = ANY(%(projects)s))
                    ORDER BY seq LIMIT 500""",  # noqa: S608
                {"after": after, "projects": None if projects is None else list(projects)},
            )
            rows = await cursor.fetchall()
        for row in rows:
            yield Erasure(*row[:-1])
        if len(rows) < 500:
            return
        after = rows[-1][-1]


async def forget(database: Database, older_than: timedelta) -> int:
    """Forget erasures that were finished longer ago; says how many."""
    async with database.system() as conn:
        cursor = await conn.execute(
            "DELETE FROM erasures WHERE state = 'done' AND finished_at < now() - %s RETURNING true", (older_than,)
        )
        return len(await cursor.fetchall())


async def last_verified(database: Database) -> datetime | None:
    """When anything was last found to be forgotten: what a replica remembers from before must go."""
    async with database.system() as conn:
        cursor = await conn.execute("SELECT max(mark) FROM erasures")
        row = await cursor.fetchone()
    return row[0] if row else None


class Recorded(NamedTuple):
    """What is about to be written as it was recorded elsewhere: which memory, whose, and when its first version was."""

    id: UUID
    scope: Scope
    at: datetime | None


async def covering(conn: Connection, project: str, recorded: Sequence[Recorded]) -> list[UUID | None]:
    """For each of these the newest erasure that meant it, if any. What has no time may be of any time.

    An erasure of ids means them at all times: none is ever given twice.
    """
    cursor = await conn.execute(
        """WITH n AS MATERIALIZED (
               SELECT * FROM unnest(%(ids)s::uuid[], %(users)s::text[], %(agents)s::text[], %(apps)s::text[],
                                    %(runs)s::text[], %(times)s::timestamptz[]) WITH ORDINALITY
                             AS n(id, user_id, agent_id, app_id, run_id, at, place)
           ), e AS MATERIALIZED ( -- few, of many: what may mean any of them
               SELECT id, seq, scope, recorded_before FROM erasures
               WHERE project = %(project)s AND (NOT scope ? 'memory_ids' OR scope -> 'memory_ids' ?| %(ids)s::text[])
                 AND (NOT scope ? 'user_id' OR scope ->> 'user_id' = ANY(%(users)s))
           )
           SELECT (SELECT e.id FROM e
                   WHERE (NOT scope ? 'user_id' OR scope ->> 'user_id' = n.user_id)
                     AND (NOT scope ? 'agent_id' OR scope ->> 'agent_id' = n.agent_id)
                     AND (NOT scope ? 'app_id' OR scope ->> 'app_id' = n.app_id)
                     AND (NOT scope ? 'run_id' OR scope ->> 'run_id' = n.run_id)
                     AND CASE WHEN scope ? 'memory_ids' THEN scope -> 'memory_ids' ? n.id::text
                              ELSE n.at IS NULL OR n.at <= recorded_before END
                   ORDER BY e.seq DESC LIMIT 1)
           FROM n ORDER BY place""",
        {
            "project": project,
            "ids": [str(one.id) for one in recorded],
            "users": [one.scope.user_id for one in recorded],
            "agents": [one.scope.agent_id for one in recorded],
            "apps": [one.scope.app_id for one in recorded],
            "runs": [one.scope.run_id for one in recorded],
            "times": [one.at for one in recorded],
        },
    )
    return [row[0] for row in await cursor.fetchall()]


async def taking(conn: Connection, project: str, ids: Sequence[UUID]) -> dict[UUID, UUID]:
    """Which of these memories an erasure has taken that is still under way, and which erasure that is."""
    cursor = await conn.execute(
        "SELECT memory_id, erasure_id FROM erased WHERE project = %s AND memory_id = ANY(%s)", (project, list(ids))
    )
    return dict(await cursor.fetchall())


def erasure_key(erasure: Erasure) -> tuple[str, UUID]:
    return erasure.project, erasure.id
