"""Idempotency keys: what a request with a key was answered with, so that it is never carried out twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from memsys_api.store.database import Connection


@dataclass(frozen=True)
class Remembered:
    """An earlier request under the same key."""

    request_hash: str
    results: tuple[tuple[UUID, str], ...]
    """Ids and texts as they were first stored; an erased memory is left out."""


async def recall(conn: Connection, project: str, key: str) -> Remembered | None:
    """The request that used this key before, if any."""
    cursor = await conn.execute(
        "SELECT request_hash, memory_ids FROM idempotency WHERE project = %s AND key = %s", (project, key)
    )
    row = await cursor.fetchone()
    if row is None:
        return None
    request_hash, ids = row
    cursor = await conn.execute(
        """SELECT m.id, m.text FROM unnest(%s::uuid[]) WITH ORDINALITY AS wanted(id, place)
           JOIN memory_versions m ON m.id = wanted.id
           WHERE m.project = %s AND m.version = 1 ORDER BY wanted.place""",
        (ids, project),
    )
    return Remembered(request_hash, tuple(await cursor.fetchall()))


async def remember(conn: Connection, project: str, key: str, request_hash: str, ids: Sequence[UUID]) -> bool:
    """Claim a key for this transaction; ``False``: another one has it.

    A transaction that holds the same key uncommitted is waited for: when it commits the key is taken, when it
    fails or its replica dies the key is free.
    """
    cursor = await conn.execute(
        """INSERT INTO idempotency (project, key, request_hash, memory_ids) VALUES (%s, %s, %s, %s)
           ON CONFLICT DO NOTHING RETURNING true""",
        (project, key, request_hash, list(ids)),
    )
    return await cursor.fetchone() is not None
