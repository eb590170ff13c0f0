"""Idempotency keys: what a request with a key was answered with, so that it is never carried out twice."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from psycopg.types.json import Jsonb

from memsys_api.model import Outcome
from memsys_api.store.add_events import AddEvent
from memsys_api.store.database import Connection
from memsys_api.store.outcomes import resolved, written


class Once(NamedTuple):
    """What makes a request one that is carried out once: its Idempotency-Key, and a hash to tell it from others."""

    key: str
    request_hash: str


class Review(NamedTuple):
    """Of a request that was held for review, and not released since."""

    id: UUID
    memory_id: UUID | None
    """Whose version it was to be; ``None``: of memories that are new."""
    findings: list[dict[str, Any]]


@dataclass(frozen=True)
class Remembered:
    """An earlier request under the same key."""

    request_hash: str
    outcomes: tuple[Outcome, ...]
    """With the texts as they were then; an erased memory is left out."""
    event_ids: tuple[UUID, ...] = ()
    """Of an add that was answered before it was carried out."""
    review: Review | None = None
    """Where nothing of it was carried out; of a release there are ``outcomes``."""


def hash_of(content: Sequence[Any]) -> str:
    """What of a request is kept, to tell it from another under the same key."""
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()


async def recall(conn: Connection, project: str, key: str) -> Remembered | None:
    """The request that used this key before, if any; of one whose memories were erased nothing but that."""
    cursor = await conn.execute(
        """SELECT i.request_hash, i.memory_ids, coalesce(h.outcomes, i.outcomes), i.event_ids,
                  h.outcomes IS NOT NULL, h.id, h.memory_id, h.findings
           FROM idempotency i
           LEFT JOIN held h ON h.project = i.project AND h.id = i.review_ids[1] AND i.event_ids IS NULL
           WHERE i.project = %s AND i.key IN (%s, 'erased:' || encode(sha256(convert_to(%s, 'UTF8')), 'hex'))""",
        (project, key, key),
    )
    row = await cursor.fetchone()
    if row is None:
        return None
    request_hash, ids, known, event_ids, released, *held = row
    review = None if released or held[0] is None else Review(*held)
    if known is None:  # from a release that only ever added
        known = [{"id": str(i), "version": 1, "event": "ADD", "inference": None} for i in ids]
    return Remembered(request_hash, await resolved(conn, project, known), tuple(event_ids or ()), review)


async def claim(conn: Connection, project: str, once: Once, review: UUID | None = None) -> bool:
    """Claim a key for this transaction; ``False``: another one has it. ``review``: as what the request is held in it.

    A transaction that holds the same key uncommitted is waited for: when it commits the key is taken, when it
    fails or its replica dies the key is free.
    """
    cursor = await conn.execute(
        """INSERT INTO idempotency (project, key, request_hash, memory_ids, review_ids) VALUES (%s, %s, %s, '{}', %s)
           ON CONFLICT DO NOTHING RETURNING true""",
        (project, once.key, once.request_hash, review and [review]),
    )
    return await cursor.fetchone() is not None


async def remember(conn: Connection, project: str, key: str, outcomes: Sequence[Outcome]) -> None:
    """Note what a key of this transaction is answered with: never a text."""
    await conn.execute(
        "UPDATE idempotency SET memory_ids = %s, outcomes = %s WHERE project = %s AND key = %s",
        ([o.id for o in outcomes], Jsonb(written(outcomes)), project, key),
    )


async def remember_events(conn: Connection, project: str, key: str, events: Sequence[AddEvent]) -> None:
    """Note what a request under a key of this transaction is followed by, with what is stored and held of it so far."""
    await remember(conn, project, key, [outcome for event in events for outcome in event.outcomes])
    reviews = [event.review_id for event in events if event.review_id is not None]
    await conn.execute(
        "UPDATE idempotency SET event_ids = %s, review_ids = %s WHERE project = %s AND key = %s",
        ([event.id for event in events], reviews or None, project, key),
    )
