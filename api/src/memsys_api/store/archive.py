"""Whole projects out of the tables and into them: every version with all that belongs to it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, cast
from uuid import UUID

from psycopg import sql
from psycopg.types.json import Jsonb

from memsys_api.model import Scope
from memsys_api.store.contents import NewVersion, insert_embeddings, insert_extractions
from memsys_api.store.database import Connection, Database
from memsys_api.store.generations import Generation
from memsys_api.store.rows import current, scope_condition

_FETCHED = 500

_FIELDS = (
    "id", "version", "state", "user_id", "agent_id", "app_id", "run_id", "memory", "role", "speaker", "thread", "turn",
    "metadata", "provenance", "event_time", "created_at", "recorded_from", "expires_at", "entities", "relations",
    "feedback",
)  # fmt: skip


async def versions(database: Database, scope: Scope, *, heads: bool) -> AsyncGenerator[dict[str, Any], None]:
    """Every version of the scope's memories, in the order of their creation, as of one moment.

    With ``heads`` only what can be read now, each as if it had always been so: as version 1. A memory's feedback stands
    with the version that it was given to.
    """
    where = scope_condition(scope, "m")
    clauses = [where.clause, *([current(None).clause] if heads else [])]
    statement = sql.SQL(_VERSIONS).format(
        where=sql.SQL(" AND ").join(clauses),
        version=sql.SQL("1" if heads else "m.version"),
        judged=sql.SQL("" if heads else "AND f.version = m.version"),
    )
    async with database.snapshot(scope.project) as conn, conn.cursor(name="export") as cursor:
        cursor.itersize = _FETCHED
        await cursor.execute(statement, where.parameters)
        async for row in cursor:
            yield dict(zip(_FIELDS, row, strict=True))


_VERSIONS = """
SELECT m.id, {version}, m.state, m.user_id, m.agent_id, m.app_id, m.run_id, m.text, m.role, m.speaker, m.thread, m.turn,
       m.metadata, m.provenance, m.event_time, m.created_at, m.recorded_from, m.expires_at,
       (SELECT coalesce(jsonb_agg(
            jsonb_build_object('key', e.key, 'name', e.name, 'kind', e.kind) ORDER BY e.key), '[]')
        FROM mentions n JOIN entities e ON e.project = n.project AND e.key = n.entity_key
        WHERE n.project = m.project AND n.memory_id = m.id AND n.version = m.version),
       (SELECT coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
            'subject', r.subject_key, 'predicate', r.predicate, 'object', r.object_key,
            'valid_from', r.valid_from, 'valid_to', r.valid_to)) ORDER BY r.ordinal), '[]')
        FROM relations r
        WHERE r.project = m.project AND r.memory_id = m.id AND r.version = m.version),
       (SELECT jsonb_strip_nulls(jsonb_build_object(
            'verdict', f.verdict, 'reason', f.reason, 'given_by', f.actor, 'given_at', f.given_at))
        FROM feedback f WHERE f.project = m.project AND f.memory_id = m.id {judged})
FROM memory_versions m WHERE {where} ORDER BY m.seq, m.version
"""


async def there(database: Database, project: str, ids: Collection[UUID]) -> set[UUID]:
    """Which of these memories have not been erased by now; deleted ones are there."""
    async with database.transaction(project) as conn:
        cursor = await conn.execute(
            "SELECT id FROM memory_versions WHERE project = %s AND id = ANY(%s) AND version = 1", (project, list(ids))
        )
        return {row[0] for row in await cursor.fetchall()}


class Stored(NamedTuple):
    """One version that is there."""

    id: UUID
    version: int
    scope: Scope
    state: str
    hash: str
    recorded_from: datetime
    head: bool


@dataclass(frozen=True, kw_only=True)
class Imported:
    """One version about to be written as it was recorded elsewhere."""

    new: NewVersion
    """Its embedding is left out when it is deleted."""
    version: int
    scope: Scope
    state: str
    thread: str | None
    turn: int | None
    created_at: datetime
    recorded_from: datetime
    recorded_to: datetime | None


async def alone(conn: Connection, project: str) -> None:
    """Be the only import into the project until this transaction ends."""
    await conn.execute("SELECT pg_advisory_xact_lock(hashtextextended('import:' || %s, 0))", (project,))


async def clock(conn: Connection) -> datetime:
    """What time it is to the database, whose clock dates all that is recorded."""
    cursor = await conn.execute("SELECT clock_timestamp()")
    row = await cursor.fetchone()
    assert row is not None
    return cast(datetime, row[0])


async def stored(conn: Connection, project: str, wanted: Sequence[tuple[UUID, int]]) -> list[Stored]:
    """Those of these versions that are there, and the newest of each of their memories."""
    cursor = await conn.execute(
        """SELECT m.id, m.version, m.user_id, m.agent_id, m.app_id, m.run_id, m.state, m.hash, m.recorded_from,
                  m.recorded_to IS NULL
           FROM memory_versions m
           WHERE m.project = %(project)s AND m.id = ANY(%(ids)s)
             AND (m.recorded_to IS NULL
                  OR (m.id, m.version) IN (SELECT * FROM unnest(%(ids)s::uuid[], %(versions)s::int[])))""",
        {"project": project, "ids": [i for i, _ in wanted], "versions": [v for _, v in wanted]},
    )
    return [Stored(row[0], row[1], Scope(project, *row[2:6]), *row[6:]) for row in await cursor.fetchall()]


async def last_turns(conn: Connection, project: str, threads: Sequence[str]) -> dict[str, int]:
    """How far each of these threads has got."""
    cursor = await conn.execute(
        "SELECT thread, max(turn) FROM memory_versions WHERE project = %s AND thread = ANY(%s) GROUP BY thread",
        (project, list(threads)),
    )
    return dict(await cursor.fetchall())


async def insert(conn: Connection, generation: Generation, project: str, versions: Sequence[Imported]) -> None:
    """Write these versions, each memory's in their order; the newest one before them ends where they begin."""
    first: dict[UUID, datetime] = {}
    for one in versions:
        first.setdefault(one.new.id, one.recorded_from)
    grown = [one.new.id for one in versions if one.version > 1 and first[one.new.id] == one.recorded_from]
    if grown:
        await _end(conn, generation, project, {i: first[i] for i in grown})
    await conn.execute(_INSERT, _columns(project, versions))
    active = [one for one in versions if one.state == "active"]
    await insert_embeddings(conn, generation, [(one.new, one.version, one.scope) for one in active])
    await insert_extractions(conn, project, [(one.new, one.version) for one in active])
    past = [one for one in versions if one.recorded_to is not None]
    await conn.execute(
        sql.SQL(
            """UPDATE {} e SET head = false FROM unnest(%s::uuid[], %s::int[]) AS past(id, version)
               WHERE e.project = %s AND e.memory_id = past.id AND e.version = past.version"""
        ).format(generation.table),
        ([one.new.id for one in past], [one.version for one in past], project),
    )
    await conn.execute(
        """UPDATE relations r SET recorded_from = m.recorded_from, recorded_to = m.recorded_to
           FROM memory_versions m
           WHERE r.project = %s AND r.memory_id = ANY(%s)
             AND m.project = r.project AND m.id = r.memory_id AND m.version = r.version""",
        (project, list(first)),
    )


async def _end(conn: Connection, generation: Generation, project: str, at: dict[UUID, datetime]) -> None:
    values = (list(at), list(at.values()), project)
    await conn.execute(
        """UPDATE memory_versions m SET recorded_to = n.at FROM unnest(%s::uuid[], %s::timestamptz[]) AS n(id, at)
           WHERE m.project = %s AND m.id = n.id AND m.recorded_to IS NULL""",
        values,
    )
    await conn.execute(
        sql.SQL("UPDATE {} SET head = false WHERE project = %s AND memory_id = ANY(%s) AND head").format(
            generation.table
        ),
        (project, list(at)),
    )


def _columns(project: str, versions: Sequence[Imported]) -> dict[str, Any]:
    return {
        "project": project,
        "ids": [one.new.id for one in versions],
        "versions": [one.version for one in versions],
        "states": [one.state for one in versions],
        "users": [one.scope.user_id for one in versions],
        "agents": [one.scope.agent_id for one in versions],
        "apps": [one.scope.app_id for one in versions],
        "runs": [one.scope.run_id for one in versions],
        "threads": [one.thread for one in versions],
        "turns": [one.turn for one in versions],
        "texts": [one.new.text for one in versions],
        "hashes": [one.new.hash for one in versions],
        "roles": [one.new.role for one in versions],
        "speakers": [one.new.speaker for one in versions],
        "metadata": [Jsonb(one.new.metadata) for one in versions],
        "provenance": [Jsonb(one.new.provenance) for one in versions],
        "event_times": [one.new.event_time for one in versions],
        "created": [one.created_at for one in versions],
        "begun": [one.recorded_from for one in versions],
        "ended": [one.recorded_to for one in versions],
        "expiries": [one.new.expires_at for one in versions],
        "words": [one.new.words for one in versions],
        "fingerprints": [one.new.fingerprint if one.state == "active" else None for one in versions],
    }


# All versions of a memory share its seq: that of what is there already, else the next one.
_INSERT = """
WITH n AS MATERIALIZED (
    SELECT * FROM unnest(
        %(ids)s::uuid[], %(versions)s::int[], %(states)s::text[], %(users)s::text[], %(agents)s::text[],
        %(apps)s::text[], %(runs)s::text[], %(threads)s::text[], %(turns)s::bigint[], %(texts)s::text[],
        %(hashes)s::text[], %(roles)s::text[], %(speakers)s::text[], %(metadata)s::jsonb[], %(provenance)s::jsonb[],
        %(event_times)s::timestamptz[], %(created)s::timestamptz[], %(begun)s::timestamptz[],
        %(ended)s::timestamptz[], %(expiries)s::timestamptz[], %(words)s::text[], %(fingerprints)s::text[]
    ) WITH ORDINALITY AS n(id, version, state, user_id, agent_id, app_id, run_id, thread, turn, text, hash, role,
                           speaker, metadata, provenance, event_time, created_at, recorded_from, recorded_to,
                           expires_at, words, fingerprint, place)
), memories AS MATERIALIZED (
    SELECT id, min(place) AS place FROM n GROUP BY id
), numbered AS MATERIALIZED (
    SELECT ordered.id, coalesce(ordered.seq, nextval('memory_seq')) AS seq FROM (
        SELECT memories.id, m.seq FROM memories
        LEFT JOIN memory_versions m ON m.project = %(project)s AND m.id = memories.id AND m.version = 1
        ORDER BY memories.place
    ) ordered
)
INSERT INTO memory_versions (
    project, id, version, state, user_id, agent_id, app_id, run_id, seq, thread, turn, text, hash, role, speaker,
    metadata, provenance, event_time, created_at, recorded_from, recorded_to, expires_at, lexemes, fingerprint)
SELECT %(project)s, n.id, n.version, n.state, n.user_id, n.agent_id, n.app_id, n.run_id, numbered.seq, n.thread, n.turn,
       n.text, n.hash, n.role, n.speaker, n.metadata, n.provenance, n.event_time, n.created_at, n.recorded_from,
       n.recorded_to, n.expires_at,
       CASE n.state WHEN 'active' THEN to_tsvector('english', n.words) ELSE '' END,
       n.fingerprint
FROM n JOIN numbered USING (id) ORDER BY n.place
"""
