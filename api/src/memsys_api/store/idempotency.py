"""Idempotency keys: what a request with a key was answered with, so that it is never carried out twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg.types.json import Jsonb

from memsys_api.model import Outcome
from memsys_api.store.database import Connection


@dataclass(frozen=True)
class Remembered:
    """An earlier request under the same key."""

    request_hash: str
    outcomes: tuple[Outcome, ...]
    """With the texts as they were then; an erased memory is left out."""


async def recall(conn: Connection, project: str, key: str) -> Remembered | None:
    """The request that used this key before, if any; of one whose memories were erased nothing but that."""
    cursor = await conn.execute(
        """SELECT request_hash, memory_ids, outcomes FROM idempotency
           WHERE project = %s AND key IN (%s, 'erased:' || encode(sha256(convert_to(%s, 'UTF8')), 'hex'))""",
        (project, key, key),
    )
    row = await cursor.fetchone()
    if row is None:
        return None
    request_hash, ids, known = row
    if known is None:  # from a release that only ever added
        known = [{"id": str(i), "version": 1, "event": "ADD", "inference": None} for i in ids]
    cursor = await conn.execute(
        """SELECT wanted.place, m.id, m.text, before.text
           FROM unnest(%(ids)s::uuid[], %(versions)s::int[]) WITH ORDINALITY AS wanted(id, version, place)
           JOIN memory_versions m ON m.project = %(project)s AND m.id = wanted.id AND m.version = wanted.version
           LEFT JOIN memory_versions before
                  ON before.project = m.project AND before.id = m.id AND before.version = m.version - 1
           ORDER BY wanted.place""",
        {"project": project, "ids": [o["id"] for o in known], "versions": [o["version"] for o in known]},
    )
    outcomes = []
    for place, memory_id, text, before in await cursor.fetchall():
        first = known[place - 1]
        previous = before if first["event"] == "UPDATE" else None
        outcomes.append(Outcome(memory_id, text, first["event"], first["version"], previous, first["inference"]))
    return Remembered(request_hash, tuple(outcomes))


async def claim(conn: Connection, project: str, key: str, request_hash: str) -> bool:
    """Claim a key for this transaction; ``False``: another one has it.

    A transaction that holds the same key uncommitted is waited for: when it commits the key is taken, when it
    fails or its replica dies the key is free.
    """
    cursor = await conn.execute(
        """INSERT INTO idempotency (project, key, request_hash, memory_ids) VALUES (%s, %s, %s, '{}')
           ON CONFLICT DO NOTHING RETURNING true""",
        (project, key, request_hash),
    )
    return await cursor.fetchone() is not None


async def remember(conn: Connection, project: str, key: str, outcomes: Sequence[Outcome]) -> None:
    """Note what a key of this transaction is answered with: never a text."""
    answer = [{"id": str(o.id), "version": o.version, "event": o.event, "inference": o.inference} for o in outcomes]
    await conn.execute(
        "UPDATE idempotency SET memory_ids = %s, outcomes = %s WHERE project = %s AND key = %s",
        ([o.id for o in outcomes], Jsonb(answer), project, key),
    )
