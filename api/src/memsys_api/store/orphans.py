"""Entities of which no memory speaks any more once an erasure has taken those that did, and merges of their names."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import psycopg
from psycopg import sql

from memsys_api.store import merges
from memsys_api.store.counting import Counts, changed, counted
from memsys_api.store.database import Connection

_ORPHANED = sql.SQL(
    """NOT EXISTS (SELECT FROM mentions n WHERE n.project = e.project AND n.entity_key = e.key)
       AND NOT EXISTS (SELECT FROM relations r WHERE r.project = e.project AND r.subject_key = e.key)
       AND NOT EXISTS (SELECT FROM relations r WHERE r.project = e.project AND r.object_key = e.key)"""
)
# The erasure's own, so that its receipt counts what it has removed, and not what another one under way has.
_CONCERNED = sql.SQL(
    """e.project = %(project)s AND sha256(convert_to(e.key, 'UTF8')) IN (
           SELECT unnest(d.entities) FROM erased d WHERE d.project = %(project)s AND d.erasure_id = %(erasure)s)"""
)


class Busy(Exception):
    """Writers did not make room in time; try again."""


async def take(conn: Connection, project: str, erasure: UUID, tombstones: Sequence[tuple[UUID, int]]) -> None:
    """Note which memories an erasure takes, by the versions of their tombstones, and which entities they speak of.

    Of the entities digests alone: this row stays until the receipt is written.
    """
    await conn.execute(
        """INSERT INTO erased (project, erasure_id, memory_id, version, entities)
           SELECT %(project)s, %(erasure)s, gone.id, gone.version, ARRAY(
               SELECT sha256(convert_to(said.key, 'UTF8')) FROM (
                   SELECT entity_key FROM mentions WHERE project = %(project)s AND memory_id = gone.id
                   UNION SELECT subject_key FROM relations WHERE project = %(project)s AND memory_id = gone.id
                   UNION SELECT object_key FROM relations WHERE project = %(project)s AND memory_id = gone.id
               ) AS said(key))
           FROM unnest(%(ids)s::uuid[], %(versions)s::int[]) AS gone(id, version)
           ON CONFLICT (project, erasure_id, memory_id) DO UPDATE
           SET version = greatest(erased.version, excluded.version), entities = erased.entities || excluded.entities""",
        {
            "project": project,
            "erasure": erasure,
            "ids": [memory_id for memory_id, _ in tombstones],
            "versions": [version for _, version in tombstones],
        },
    )


async def remove(conn: Connection, project: str, erasure: UUID, sinks: Sequence[str], *, lock_seconds: float) -> Counts:
    """Remove those of the erased memories' entities that no memory speaks of any more. Raises :class:`Busy`.

    A writer may be about to mention an entity that it found there: none may be under way while orphans go, or its
    mention would point to nothing. Found first without that lock, so that writers wait for milliseconds.

    A merge ends with either of its names. What had been merged into a name that goes is itself again, and memories that
    speak of it become due at every sink.
    """
    values = {"project": project, "erasure": erasure}
    cursor = await conn.execute(
        sql.SQL("SELECT e.key FROM entities e WHERE {} AND {}").format(_CONCERNED, _ORPHANED), values
    )
    keys = [row[0] for row in await cursor.fetchall()]
    if not keys:
        return {"entities": 0, "merges": 0}
    await merges.alone(conn, project)
    await conn.execute("SELECT set_config('lock_timeout', %s, true)", (f"{int(lock_seconds * 1000)}ms",))
    try:
        await conn.execute("LOCK TABLE entities IN SHARE ROW EXCLUSIVE MODE")
        await (await conn.execute("SELECT 1")).fetchone()  # waits for the lock
    except psycopg.errors.LockNotAvailable as error:
        raise Busy("a long write is under way") from error
    cursor = await conn.execute(
        sql.SQL("DELETE FROM entities e WHERE e.project = %s AND e.key = ANY(%s) AND {} RETURNING e.key").format(
            _ORPHANED
        ),
        (project, keys),
    )
    gone = [row[0] for row in await cursor.fetchall()]
    await _rename(conn, project, erasure, sinks, gone)
    ended = await counted(
        conn,
        changed(sql.SQL("DELETE FROM merges WHERE project = %s AND (source_key = ANY(%s) OR target_key = ANY(%s))")),
        (project, gone, gone),
    )
    return {"entities": len(gone), "merges": ended}


async def _rename(conn: Connection, project: str, erasure: UUID, sinks: Sequence[str], gone: Sequence[str]) -> None:
    """Make due what speaks of names that had been merged into one of these, and note it with the erasure."""
    under = set(await merges.names_of(conn, project, gone)) - set(gone)
    if not under:
        return
    speaking = await merges.enqueue_speaking_of(conn, project, sinks, sorted(under))
    await conn.execute(
        "UPDATE erasures SET renamed = renamed || %s::uuid[] WHERE project = %s AND id = %s",
        (speaking, project, erasure),
    )
