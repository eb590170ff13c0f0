"""How far an external index has been filled with the memories there were when it was chosen. Resumable anywhere."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from memsys_api.store import deliveries
from memsys_api.store.database import Database

SETTLING = timedelta(minutes=15)
"""Longer than a rolling update takes: until then a replica may write that does not know of the new index."""
CHUNK = 1000
_UNDER_WAY = timedelta(minutes=1)  # longer than the transaction of a write can take


@dataclass(frozen=True)
class Fill:
    """The state of one fill."""

    target: str
    filled: bool
    """Every memory there was has been queued, or is in the index."""
    due: bool
    """There is more to queue now."""


async def begin(database: Database, sink: str, target: str, *, anew: bool = False) -> None:
    """Have an index filled from the beginning, unless that was begun for this target before and is not asked anew."""
    async with database.system() as conn:
        await conn.execute(
            """
            INSERT INTO fills (sink, target) VALUES (%(sink)s, %(target)s)
            ON CONFLICT (sink) DO UPDATE
            SET target = excluded.target, since = NULL, at_project = '', at_memory = NULL, due_at = now(),
                begun_at = now(), filled_at = NULL, settled_at = NULL
            WHERE %(anew)s OR fills.target <> excluded.target
            """,
            {"sink": sink, "target": target, "anew": anew},
        )


async def forget(database: Database, sink: str) -> None:
    """The sink is not fed any more: drop what waits for it, and that it was ever filled."""
    async with database.system() as conn:
        await conn.execute("DELETE FROM fills WHERE sink = %s", (sink,))
        await conn.execute("DELETE FROM deliveries WHERE sink = %s", (sink,))


async def state(database: Database, sink: str) -> Fill | None:
    """How far it is; ``None`` when nothing was begun."""
    async with database.system() as conn:
        cursor = await conn.execute(
            "SELECT target, filled_at IS NOT NULL, settled_at IS NULL AND due_at <= now() FROM fills WHERE sink = %s",
            (sink,),
        )
        row = await cursor.fetchone()
    return Fill(*row) if row else None


async def advance(database: Database, sink: str) -> int:
    """Queue the next memories, up to :data:`CHUNK`; says how many. Any number of replicas may do so at once."""
    async with database.system() as conn:
        cursor = await conn.execute(
            """SELECT (SELECT min(name) FROM projects
                       WHERE name > at_project OR (name = at_project AND at_memory IS NOT NULL))
               FROM fills WHERE sink = %s AND settled_at IS NULL AND due_at <= now()""",
            (sink,),
        )
        row = await cursor.fetchone()
    if row is None:
        return 0
    if row[0] is None:
        await _end_pass(database, sink)
        return 0
    return await _queue(database, sink, row[0])


_ALL = """SELECT id, version FROM memory_versions
          WHERE project = %(project)s AND recorded_to IS NULL AND (%(after)s::uuid IS NULL OR id > %(after)s)
          ORDER BY id LIMIT %(limit)s"""
# By the log of changes: an import says when a memory was recorded elsewhere, and of an erased one nothing else is left.
_CHANGED = """SELECT memory_id, max(version) FROM outbox
              WHERE project = %(project)s AND occurred_at >= %(since)s - %(under_way)s
                AND (%(after)s::uuid IS NULL OR memory_id > %(after)s)
              GROUP BY memory_id ORDER BY memory_id LIMIT %(limit)s"""


async def _queue(database: Database, sink: str, project: str) -> int:
    """Queue the next memories of a project, and note in the same transaction where to go on."""
    async with database.transaction(project) as conn:
        cursor = await conn.execute(
            """SELECT since, CASE at_project WHEN %(project)s THEN at_memory END FROM fills
               WHERE sink = %(sink)s AND settled_at IS NULL AND due_at <= now()
                 AND (at_project < %(project)s OR (at_project = %(project)s AND at_memory IS NOT NULL))
               FOR UPDATE SKIP LOCKED""",
            {"sink": sink, "project": project},
        )
        row = await cursor.fetchone()
        if row is None:  # another replica is at it, or has been
            return 0
        since, after = row
        cursor = await conn.execute(
            _ALL if since is None else _CHANGED,
            {"project": project, "since": since, "under_way": _UNDER_WAY, "after": after, "limit": CHUNK},
        )
        heads = [(row[0], row[1]) for row in await cursor.fetchall()]
        await deliveries.enqueue(conn, project, [sink], heads)
        await conn.execute(
            "UPDATE fills SET at_project = %s, at_memory = %s WHERE sink = %s",
            (project, heads[-1][0] if len(heads) == CHUNK else None, sink),
        )
    return len(heads)


async def _end_pass(database: Database, sink: str) -> None:
    """After all memories, later, once more those that changed meanwhile; after those, nothing."""
    async with database.system() as conn:
        await conn.execute(
            """UPDATE fills
               SET since = begun_at, at_project = '', at_memory = NULL,
                   settled_at = CASE WHEN filled_at IS NULL THEN NULL ELSE now() END,
                   filled_at = coalesce(filled_at, now()),
                   due_at = CASE WHEN filled_at IS NULL THEN now() + %(settling)s ELSE due_at END
               WHERE sink = %(sink)s AND settled_at IS NULL AND due_at <= now()
                 AND NOT EXISTS (SELECT FROM projects
                                 WHERE name > at_project OR (name = at_project AND at_memory IS NOT NULL))""",
            {"sink": sink, "settling": SETTLING},
        )
