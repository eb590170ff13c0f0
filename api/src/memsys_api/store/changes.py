"""Reads the log of changes by snapshot, behind the wall."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from memsys_api.model import Scope
from memsys_api.store.database import Connection, Database
from memsys_api.store.positions import Position
from memsys_api.store.rows import SCOPE_FIELDS


class Lost(Exception):
    """A position cannot be resumed: what came after it has been forgotten, or it is another database's."""


@dataclass(frozen=True)
class Change:
    """One change of one memory. Where it has been erased since, the ids are left with its deletion alone."""

    position: Position
    event: str
    memory_id: UUID
    version: int
    occurred_at: datetime
    scope: Scope
    text: str | None
    """Of the version; ``None`` when the memory is deleted, expired or erased by now."""


@dataclass(frozen=True)
class Page:
    """Changes in order, and where to go on; ``more``: at once."""

    changes: list[Change]
    position: Position
    more: bool


class Snapshot(NamedTuple):
    """How far the database is."""

    epoch: str
    xmin: int
    xmax: int
    last: int
    """The newest number given out to a change, committed or not."""


_SNAPSHOT = """
    to_hex(system_identifier) || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8),
    pg_snapshot_xmin(pg_current_snapshot())::text::bigint, pg_snapshot_xmax(pg_current_snapshot())::text::bigint,
    coalesce(pg_sequence_last_value(pg_get_serial_sequence('outbox', 'id')), 0)
    FROM pg_control_system()"""


async def snapshot(database: Database) -> Snapshot:
    """How far the database is now."""
    async with database.system() as conn:
        return await _snapshot(conn)


async def _snapshot(conn: Connection) -> Snapshot:
    cursor = await conn.execute(f"SELECT {_SNAPSHOT}")  # own constant
    row = await cursor.fetchone()
    assert row is not None
    return Snapshot(str(row[0]).lower(), *row[1:])


async def newest(database: Database) -> Position:
    """Behind all that has happened."""
    now = await snapshot(database)
    return Position(now.epoch, now.xmin, now.xmin, 0)


async def earliest(database: Database, project: str) -> Position:
    """Before the oldest change of a project that is kept."""
    async with database.transaction(project) as conn:
        now = await _snapshot(conn)
        horizon = await _horizon(conn, project)
    return Position(now.epoch, 0, now.xmin, horizon[1] if horizon else 0)


async def _horizon(conn: Connection, project: str) -> tuple[int, int] | None:
    """The highest transaction and number that have been forgotten."""
    cursor = await conn.execute("SELECT xid::text::bigint, id FROM outbox_horizons WHERE project = %s", (project,))
    row = await cursor.fetchone()
    return None if row is None else (row[0], row[1])


async def read(database: Database, scope: Scope, position: Position, limit: int, *, with_text: bool) -> Page:
    """The changes of a scope after a position. Looks at ``limit`` changes of the project, whosever they are.

    Raises :class:`Lost`.
    """
    async with database.transaction(scope.project) as conn:
        now = await _snapshot(conn)
        if position.epoch != now.epoch or position.high > now.xmax:
            raise Lost("the position is of another database, or from before it was restored")
        horizon = await _horizon(conn, scope.project)
        if horizon is not None and position.missed(*horizon):
            raise Lost("changes after the position have been forgotten")
        changes, position, seen = await _stretch(conn, scope, position, limit, with_text)
        if seen < limit and now.xmin > position.high:
            position = position.advanced(now.xmin)
            more, position, further = await _stretch(conn, scope, position, limit - seen, with_text)
            changes, seen = changes + more, seen + further
    return Page(changes, position, more=seen == limit)


async def _stretch(
    conn: Connection, scope: Scope, position: Position, limit: int, with_text: bool
) -> tuple[list[Change], Position, int]:
    """The rest of the position's stretch, as far as the limit goes: what concerns the scope, and how much was seen."""
    if position.low == position.high:
        return [], position, 0
    cursor = await conn.execute(
        """SELECT o.id, o.event, o.memory_id, o.version, o.occurred_at,
                  CASE WHEN m.id IS NULL THEN ARRAY[o.user_id, o.agent_id, o.app_id, o.run_id]
                       ELSE ARRAY[m.user_id, m.agent_id, m.app_id, m.run_id] END,
                  CASE WHEN %(with_text)s AND EXISTS (
                      SELECT FROM memory_versions head
                      WHERE head.project = %(project)s AND head.id = o.memory_id AND head.recorded_to IS NULL
                        AND head.state = 'active' AND (head.expires_at IS NULL OR head.expires_at > now())
                  ) THEN m.text END
           FROM (SELECT * FROM outbox
                 WHERE project = %(project)s AND id > %(id)s
                   AND xid >= %(low)s::text::xid8 AND xid < %(high)s::text::xid8
                 ORDER BY id LIMIT %(limit)s) o
           LEFT JOIN memory_versions m ON m.project = %(project)s AND m.id = o.memory_id AND m.version = o.version
           ORDER BY o.id""",
        {
            "project": scope.project,
            "id": position.id,
            "low": str(position.low),
            "high": str(position.high),
            "limit": limit,
            "with_text": with_text,
        },
    )
    rows = await cursor.fetchall()
    changes = [
        Change(position.after(change_id), event, memory_id, version, at, Scope(scope.project, *ids), text)
        for change_id, event, memory_id, version, at, ids, text in rows
    ]
    after = position.after(rows[-1][0]) if rows else position
    return [change for change in changes if _concerns(scope, change)], after, len(rows)


def _concerns(scope: Scope, change: Change) -> bool:
    return all(getattr(scope, field) in (None, getattr(change.scope, field)) for field in SCOPE_FIELDS)


async def forget(conn: Connection, project: str, age: timedelta) -> int:
    """Delete the project's changes that are older than this, and remember how far that went; says how many."""
    # Rows from a backup that was read as SQL carry the numbers of another database's transactions, which here lie in
    # the future: until they are renumbered nobody would be shown them.
    await conn.execute(
        """UPDATE outbox SET xid = pg_current_xact_id()
           WHERE project = %s AND xid >= pg_snapshot_xmax(pg_current_snapshot())""",
        (project,),
    )
    cursor = await conn.execute(
        """WITH gone AS (DELETE FROM outbox WHERE project = %(project)s AND occurred_at < now() - %(age)s
                         RETURNING xid, id),
                noted AS (INSERT INTO outbox_horizons AS h (project, xid, id)
                          SELECT %(project)s, max(xid), max(id) FROM gone HAVING count(*) > 0
                          ON CONFLICT (project) DO UPDATE
                          SET xid = greatest(h.xid, excluded.xid), id = greatest(h.id, excluded.id))
           SELECT count(*) FROM gone""",
        {"project": project, "age": age},
    )
    row = await cursor.fetchone()
    assert row is not None
    return int(row[0])
