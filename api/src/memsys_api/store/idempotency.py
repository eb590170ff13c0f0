"""Idempotency keys: what a request with a key was answered with, so that it is never carried out twice."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from psycopg.types.json import Jsonb

from memsys_api.model import Outcome
from memsys_api.store.database import Connection
from memsys_api.store.outcomes import resolved, written


@dataclass(frozen=True)
class Remembered:
    """An earlier request under the same key."""

    request_hash: str
    outcomes: tuple[Outcome, ...]
    """With the texts as they were then; an erased memory is left out."""
    event_ids: tuple[UUID, ...] = ()
    """Of an add that was answered before it was carried out."""


def hash_of(content: Sequence[Any]) -> str:
    """What of a request is kept, to tell it from another under the same key."""
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()


async def recall(conn: Connection, project: str, key: str) -> Remembered | None:
    """The request that used this key before, if any; of one whose memories were erased nothing but that."""
    cursor = await conn.execute(
        """SELECT request_hash, memory_ids, outcomes, event_ids FROM idempotency
           WHERE project = %s AND key IN (%s, 'erased:' || encode(sha256(convert_to(%s, 'UTF8')), 'hex'))""",
        (project, key, key),
    )
    row = await cursor.fetchone()
    if row is None:
        return None
    request_hash, ids, known, event_ids = row
    if known is None:  # from a release that only ever added
        known = [{"id": str(i), "version": 1, "event": "ADD", "inference": None} for i in ids]
    return Remembered(request_hash, await resolved(conn, project, known), tuple(event_ids or ()))


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


async def remember(
    conn: Connection, project: str, key: str, outcomes: Sequence[Outcome], event_ids: Sequence[UUID] = ()
) -> None:
    """Note what a key of this transaction is answered with: never a text. ``event_ids``: what it is followed by."""
    await conn.execute(
        "UPDATE idempotency SET memory_ids = %s, outcomes = %s, event_ids = %s WHERE project = %s AND key = %s",
        ([o.id for o in outcomes], Jsonb(written(outcomes)), list(event_ids) or None, project, key),
    )
