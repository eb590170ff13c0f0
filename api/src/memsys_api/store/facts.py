"""What carrying out an inference asks of the memories: which say the same, and which still wait."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import sql
from psycopg.types.json import Jsonb

from memsys_api.inference import fingerprint
from memsys_api.model import Scope
from memsys_api.store.database import Connection
from memsys_api.store.rows import current, exact_scope, scope_values

_CONFIRMATIONS_KEPT = 20

# What was stored while the model was away is no fact yet, and neither shown to the model nor taken for a duplicate.
INFERRED = sql.SQL("(m.provenance ->> 'inference') IS DISTINCT FROM 'pending'")


def scope_key(scope: Scope) -> int:
    """A number for exactly this scope, as a lock and in the queue."""
    values = "\x1f".join("\x00" if value is None else value for value in scope_values(scope).values())
    return int.from_bytes(hashlib.sha256(values.encode()).digest()[:8], signed=True)


async def alone(conn: Connection, scope: Scope) -> None:
    """Be the only inference that writes to the scope until this transaction ends; nothing else is held up."""
    await conn.execute("SELECT pg_advisory_xact_lock(%s)", (scope_key(scope),))


async def known(conn: Connection, scope: Scope, fingerprints: Sequence[str]) -> dict[str, tuple[UUID, int]]:
    """The oldest current memory of exactly the scope, and its version, for each fingerprint that one has.

    A stored mark only finds: what the text's own is now decides, because earlier releases gave one to what differs.
    """
    where, live = exact_scope(scope, "m"), current(None)
    cursor = await conn.execute(
        sql.SQL(
            """SELECT DISTINCT ON (m.fingerprint, m.text) m.text, m.seq, m.id, m.version FROM memory_versions m
               WHERE {where} AND {live} AND {inferred} AND m.fingerprint = ANY(%(fingerprints)s)
               ORDER BY m.fingerprint, m.text, m.seq"""
        ).format(where=where.clause, live=live.clause, inferred=INFERRED),
        {**where.parameters, "fingerprints": list(fingerprints)},
    )
    rows = sorted(await cursor.fetchall(), key=lambda row: row[1])
    marks = await asyncio.to_thread(lambda: [fingerprint(text) for text, *_ in rows]) if rows else []
    found: dict[str, tuple[UUID, int]] = {}
    for mark, (_, _, memory_id, version) in zip(marks, rows, strict=True):
        found.setdefault(mark, (memory_id, version))
    return found


class Confirmed(NamedTuple):
    """What a memory that was said again says, and until when."""

    text: str
    expires_at: datetime | None


async def confirm(
    conn: Connection, scope: Scope, memory_id: UUID, version: int, confirmation: dict[str, Any]
) -> Confirmed | None:
    """Note in a version's provenance that it was said again; ``None`` when it is not the current one.

    How often is counted; of the confirmations themselves only the last ones are kept.
    """
    where, live = exact_scope(scope, "m"), current(None)
    cursor = await conn.execute(
        sql.SQL(
            """UPDATE memory_versions m SET provenance = m.provenance || jsonb_build_object(
                   'confirmations', coalesce((m.provenance ->> 'confirmations')::int, 0) + 1,
                   'confirmed', jsonb_path_query_array(
                       coalesce(m.provenance -> 'confirmed', '[]') || %(confirmation)s, {last}))
               WHERE {where} AND {live} AND m.id = %(id)s AND m.version = %(version)s
               RETURNING m.text, m.expires_at"""
        ).format(
            where=where.clause, live=live.clause, last=sql.Literal(f"$[last - {_CONFIRMATIONS_KEPT - 1} to last]")
        ),
        {**where.parameters, "id": memory_id, "version": version, "confirmation": Jsonb([confirmation])},
    )
    row = await cursor.fetchone()
    return None if row is None else Confirmed(*row)


@dataclass(frozen=True)
class Waiting:
    """A message stored as it was said, that waits to be inferred."""

    id: UUID
    text: str
    role: str | None
    speaker: str | None


async def waiting(conn: Connection, project: str, ids: Sequence[UUID]) -> list[Waiting]:
    """Those of these memories that still wait, in the given order: not edited, deleted or expired since."""
    cursor = await conn.execute(
        sql.SQL(
            """SELECT m.id, m.text, m.role, m.speaker
               FROM unnest(%(ids)s::uuid[]) WITH ORDINALITY AS wanted(id, place)
               JOIN memory_versions m ON m.project = %(project)s AND m.id = wanted.id
               WHERE {live} AND m.provenance ->> 'inference' = 'pending' ORDER BY wanted.place"""
        ).format(live=current(None).clause),
        {"project": project, "ids": list(ids)},
    )
    return [Waiting(*row) for row in await cursor.fetchall()]


async def give_up(conn: Connection, project: str, ids: Sequence[UUID], reason: str) -> None:
    """Keep these memories as they were said, for good."""
    await conn.execute(
        """UPDATE memory_versions SET provenance = provenance || %s
           WHERE project = %s AND id = ANY(%s) AND recorded_to IS NULL AND provenance ->> 'inference' = 'pending'""",
        (Jsonb({"inference": "failed", "inference_error": reason}), project, list(ids)),
    )
