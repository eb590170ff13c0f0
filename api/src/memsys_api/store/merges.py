"""Which names are one entity: merges stand beside what was read out of the texts, and nothing is ever rewritten."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from memsys_api.store.database import Connection, Database

Refusal = Literal["unknown-from", "unknown-into", "same", "merged", "circle", "not-merged"]


@dataclass(frozen=True)
class Entity:
    """One entity as it is resolved: the names that were merged into it among its aliases."""

    key: str
    name: str
    kind: str
    aliases: list[str]
    memories: int
    """How many current memories mention it under any of its names."""


async def alone(conn: Connection, project: str) -> None:
    """Be the only one that changes a project's merges until this transaction ends: two at once could make a circle."""
    await conn.execute("SELECT pg_advisory_xact_lock(hashtextextended('merges:' || %s, 0))", (project,))


async def merge(conn: Connection, project: str, source: str, target: str, *, reason: str, actor: str) -> Refusal | None:
    """Let one entity stand for another from now on; says why not, where that cannot be.

    ``target`` may itself be merged into another: then that one stands for both. Call :func:`alone` first.
    """
    cursor = await conn.execute(
        "SELECT key FROM entities WHERE project = %s AND key = ANY(%s)", (project, [source, target])
    )
    known = {row[0] for row in await cursor.fetchall()}
    if source not in known or target not in known:
        return "unknown-from" if source not in known else "unknown-into"
    if source == target:
        return "same"
    roots = await resolved(conn, project, [source, target])
    if source in roots:
        return "merged"
    if roots.get(target) == source:
        return "circle"
    # After all that has ended, also where the clock has been set back: in the past there is no circle either.
    await conn.execute(
        """INSERT INTO merges (project, source_key, target_key, reason, actor, merged_at)
           SELECT %(project)s, %(source)s, %(target)s, %(reason)s, %(actor)s,
                  greatest(clock_timestamp(), (SELECT max(reverted_at) FROM merges WHERE project = %(project)s))""",
        {"project": project, "source": source, "target": target, "reason": reason, "actor": actor},
    )
    return None


async def unmerge(conn: Connection, project: str, source: str) -> str | None:
    """End the merge of an entity; returns what it was merged into, ``None`` when it was not."""
    cursor = await conn.execute(
        """UPDATE merges SET reverted_at = greatest(clock_timestamp(), merged_at)
           WHERE project = %s AND source_key = %s AND reverted_at IS NULL RETURNING target_key""",
        (project, source),
    )
    row = await cursor.fetchone()
    return None if row is None else row[0]


async def resolved(
    conn: Connection, project: str, keys: Iterable[str], as_of: datetime | None = None
) -> dict[str, str]:
    """What stands for each of these entities that is merged into another, now or as it was recorded."""
    cursor = await conn.execute(
        """WITH RECURSIVE chain AS (
               SELECT key, key AS root, 0 AS links FROM unnest(%(keys)s::text[]) AS key
               UNION ALL
               SELECT chain.key, m.target_key, links + 1 FROM chain
               JOIN merges m ON m.project = %(project)s AND m.source_key = chain.root
                AND CASE WHEN %(as_of)s::timestamptz IS NULL THEN m.reverted_at IS NULL
                    ELSE m.merged_at <= %(as_of)s AND (m.reverted_at IS NULL OR m.reverted_at > %(as_of)s) END
           )
           SELECT DISTINCT ON (key) key, root FROM chain WHERE links > 0 ORDER BY key, links DESC""",
        {"project": project, "keys": list(dict.fromkeys(keys)), "as_of": as_of},
    )
    return dict(await cursor.fetchall())


async def names_of(conn: Connection, project: str, keys: Iterable[str], as_of: datetime | None = None) -> list[str]:
    """These entities' own keys and those of all that are merged into them, directly or not."""
    cursor = await conn.execute(
        """WITH RECURSIVE names AS (
               SELECT unnest(%(keys)s::text[]) AS key
               UNION
               SELECT m.source_key FROM names JOIN merges m ON m.project = %(project)s AND m.target_key = names.key
                AND CASE WHEN %(as_of)s::timestamptz IS NULL THEN m.reverted_at IS NULL
                    ELSE m.merged_at <= %(as_of)s AND (m.reverted_at IS NULL OR m.reverted_at > %(as_of)s) END
           )
           SELECT key FROM names ORDER BY key""",
        {"project": project, "keys": list(keys), "as_of": as_of},
    )
    return [row[0] for row in await cursor.fetchall()]


async def standing(database: Database, project: str, *, bound: int) -> dict[str, tuple[str, ...]]:
    """All names of the entity that a name stands for, by each of them: the one that stays first.

    Names that nothing was merged with are not in it; of a project's merges the newest ``bound`` are.
    """
    async with database.transaction(project) as conn:
        cursor = await conn.execute(
            """SELECT source_key, target_key FROM merges WHERE project = %s AND reverted_at IS NULL
               ORDER BY merged_at DESC LIMIT %s""",
            (project, bound),
        )
        into = dict(await cursor.fetchall())
    groups: dict[str, list[str]] = {}
    for source in sorted(into):
        root = into[source]
        while root in into:  # ends: no merge closes a circle
            root = into[root]
        groups.setdefault(root, [root]).append(source)
    return {name: tuple(names) for names in groups.values() for name in names}


async def enqueue_speaking_of(conn: Connection, project: str, sinks: Sequence[str], keys: Sequence[str]) -> list[UUID]:
    """Make every living memory due again that mentions or has stated something of these entities; says which."""
    cursor = await conn.execute(
        """WITH speaking AS (
               SELECT memory_id FROM mentions WHERE project = %(project)s AND entity_key = ANY(%(keys)s)
               UNION SELECT memory_id FROM relations WHERE project = %(project)s AND subject_key = ANY(%(keys)s)
               UNION SELECT memory_id FROM relations WHERE project = %(project)s AND object_key = ANY(%(keys)s)
           ), made AS (
           INSERT INTO deliveries (project, sink, memory_id, version)
           SELECT m.project, sink, m.id, m.version
           FROM speaking JOIN memory_versions m
             ON m.project = %(project)s AND m.id = speaking.memory_id AND m.recorded_to IS NULL AND m.state = 'active'
           CROSS JOIN unnest(%(sinks)s::text[]) AS sink
           ORDER BY m.id, sink
           ON CONFLICT (project, sink, memory_id) DO UPDATE
           SET version = excluded.version, state = 'pending', cause = NULL, attempts = 0, due_at = now(), error = NULL,
               revision = deliveries.revision + (deliveries.version = excluded.version)::int
           WHERE deliveries.version <= excluded.version RETURNING memory_id
           )
           SELECT DISTINCT memory_id FROM made""",
        {"project": project, "keys": list(keys), "sinks": list(sinks)},
    )
    return [row[0] for row in await cursor.fetchall()]
