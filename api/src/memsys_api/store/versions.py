"""Writes versions of memories, inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from psycopg import sql
from psycopg.types.json import Jsonb

from memsys_api.model import Memory, Scope
from memsys_api.store.contents import NewVersion, copy_contents, insert_contents
from memsys_api.store.database import Connection
from memsys_api.store.generations import Generation
from memsys_api.store.rows import MEMORY_COLUMNS, MEMORY_WIDTH, current, read, scope_condition, scope_values
from memsys_api.store.webhook_deliveries import INSERT_EVENTS


@dataclass(frozen=True)
class Head:
    """A memory's newest version, with who spoke it (part of what is embedded and extracted from) and its provenance."""

    memory: Memory
    role: str | None
    speaker: str | None
    provenance: dict[str, Any]


async def ensure_project(conn: Connection, project: str) -> None:
    """Projects come into being with the first write."""
    await conn.execute("INSERT INTO projects (name) VALUES (%s) ON CONFLICT DO NOTHING", (project,))


async def insert_first(
    conn: Connection, generation: Generation, scope: Scope, thread: str | None, new: Sequence[NewVersion]
) -> None:
    """Insert version 1 of each memory, in order, as the thread's next turns. Fetches nothing, so it pipelines."""
    await conn.execute(
        """
        INSERT INTO memory_versions (
            project, id, version, state, user_id, agent_id, app_id, run_id, seq, thread, turn, text, hash, role,
            speaker, metadata, provenance, event_time, created_at, recorded_from, expires_at, lexemes, fingerprint)
        SELECT %(project)s, n.id, 1, 'active', %(user_id)s, %(agent_id)s, %(app_id)s, %(run_id)s,
               nextval('memory_seq'), %(thread)s,
               CASE WHEN %(thread)s::text IS NOT NULL THEN n.ordinal + coalesce(
                   (SELECT max(turn) FROM memory_versions WHERE project = %(project)s AND thread = %(thread)s), 0
               ) END,
               n.text, n.hash, n.role, n.speaker, n.metadata, n.provenance, n.event_time, now(), now(), n.expires_at,
               to_tsvector('english', n.words), n.fingerprint
        FROM unnest(%(ids)s::uuid[], %(texts)s::text[], %(hashes)s::text[], %(roles)s::text[], %(speakers)s::text[],
                    %(metadata)s::jsonb[], %(provenance)s::jsonb[], %(event_times)s::timestamptz[],
                    %(expiries)s::timestamptz[], %(words)s::text[], %(fingerprints)s::text[])
             WITH ORDINALITY
             AS n(id, text, hash, role, speaker, metadata, provenance, event_time, expires_at, words, fingerprint,
                  ordinal)
        ORDER BY n.ordinal
        """,
        {
            **scope_values(scope),
            "thread": thread,
            "ids": [n.id for n in new],
            "texts": [n.text for n in new],
            "hashes": [n.hash for n in new],
            "roles": [n.role for n in new],
            "speakers": [n.speaker for n in new],
            "metadata": [Jsonb(n.metadata) for n in new],
            "provenance": [Jsonb(n.provenance) for n in new],
            "event_times": [n.event_time for n in new],
            "expiries": [n.expires_at for n in new],
            "words": [n.words for n in new],
            "fingerprints": [n.fingerprint for n in new],
        },
    )
    await insert_contents(conn, generation, scope, [(n, 1) for n in new])
    await record_events(conn, scope.project, "added", [(n.id, 1) for n in new])


async def head(conn: Connection, scope: Scope, memory_id: UUID) -> Head | None:
    """The newest version of a live memory in the scope; ``None``: no such."""
    return (await heads(conn, scope, [memory_id])).get(memory_id)


async def heads(conn: Connection, scope: Scope, ids: Sequence[UUID]) -> dict[UUID, Head]:
    """The newest versions of those of the memories that are alive and in the scope."""
    where, live = scope_condition(scope, "m"), current(None)
    cursor = await conn.execute(
        sql.SQL(
            "SELECT {columns}, m.role, m.speaker, m.provenance FROM memory_versions m "
            "WHERE {where} AND {live} AND m.id = ANY(%(ids)s)"
        ).format(columns=MEMORY_COLUMNS, where=where.clause, live=live.clause),
        {**where.parameters, "ids": list(ids)},
    )
    return {row[0]: Head(read(row), *row[MEMORY_WIDTH:]) for row in await cursor.fetchall()}


async def at(conn: Connection, scope: Scope, memory_id: UUID, version: int) -> Memory | None:
    """One version of a memory in the scope, whatever came after it; ``None``: no such."""
    where = scope_condition(scope, "m")
    cursor = await conn.execute(
        sql.SQL(
            "SELECT {columns} FROM memory_versions m WHERE {where} AND m.id = %(id)s AND m.version = %(version)s"
        ).format(columns=MEMORY_COLUMNS, where=where.clause),
        {**where.parameters, "id": memory_id, "version": version},
    )
    row = await cursor.fetchone()
    return None if row is None else read(row)


async def lock(conn: Connection, scope: Scope, ids: Sequence[UUID]) -> int:
    """Hold these memories until the transaction ends; how many of them there are: an erased one is gone."""
    where = scope_condition(scope, "m")
    which = sql.SQL("{} AND m.id = ANY(%(ids)s)").format(where.clause)
    cursor = await conn.execute(_lock(which), {**where.parameters, "ids": list(ids)})
    return len(await cursor.fetchall())


def _lock(which: sql.Composable) -> sql.Composed:
    """Lock memories by their first versions, in the order of their ids so that two of these cannot deadlock.

    The head itself is no place to lock: whoever waited for it finds that it has ended, and cannot see the one that
    came after. The first version stays; the next statement then sees whatever the lock was waited for.
    """
    return sql.SQL("SELECT FROM memory_versions m WHERE {which} AND m.version = 1 ORDER BY m.id FOR UPDATE").format(
        which=which
    )


async def insert_next(conn: Connection, generation: Generation, head: Head, new: NewVersion) -> Memory:
    """End the head and insert the version after it."""
    scope, version = head.memory.scope, head.memory.version
    await _end(conn, generation, scope.project, [head.memory.id])
    cursor = await conn.execute(
        sql.SQL(
            """
            INSERT INTO memory_versions AS m (
                project, id, version, state, user_id, agent_id, app_id, run_id, seq, thread, turn, text, hash, role,
                speaker, metadata, provenance, event_time, created_at, recorded_from, expires_at, lexemes,
                fingerprint)
            SELECT o.project, o.id, o.version + 1, 'active', o.user_id, o.agent_id, o.app_id, o.run_id, o.seq,
                   o.thread, o.turn, %(text)s, %(hash)s, %(role)s, %(speaker)s, %(metadata)s, %(provenance)s,
                   %(event_time)s, o.created_at, o.recorded_to, %(expires_at)s,
                   to_tsvector('english', %(words)s), %(fingerprint)s
            FROM memory_versions o
            WHERE o.project = %(project)s AND o.id = %(id)s AND o.version = %(version)s
            RETURNING {columns}
            """
        ).format(columns=MEMORY_COLUMNS),
        {
            "project": scope.project,
            "id": head.memory.id,
            "version": version,
            "text": new.text,
            "hash": new.hash,
            "role": new.role,
            "speaker": new.speaker,
            "metadata": Jsonb(new.metadata),
            "provenance": Jsonb(new.provenance),
            "event_time": new.event_time,
            "expires_at": new.expires_at,
            "words": new.words,
            "fingerprint": new.fingerprint,
        },
    )
    await insert_contents(conn, generation, scope, [(new, version + 1)])
    await record_events(conn, scope.project, "updated", [(new.id, version + 1)])
    row = await cursor.fetchone()
    assert row is not None
    return read(row)


async def prolong(
    conn: Connection, generation: Generation, scope: Scope, memory_id: UUID, version: int, expires_at: datetime | None
) -> int:
    """End a head that the caller has locked, and insert the same again with another expiry; its version."""
    await _end(conn, generation, scope.project, [memory_id])
    which = {"project": scope.project, "id": memory_id, "version": version, "expires_at": expires_at}
    await conn.execute(
        """
        INSERT INTO memory_versions (
            project, id, version, state, user_id, agent_id, app_id, run_id, seq, thread, turn, text, hash, role,
            speaker, metadata, provenance, event_time, created_at, recorded_from, expires_at, lexemes, fingerprint)
        SELECT project, id, version + 1, state, user_id, agent_id, app_id, run_id, seq, thread, turn, text, hash, role,
               speaker, metadata, provenance, event_time, created_at, recorded_to, %(expires_at)s, lexemes, fingerprint
        FROM memory_versions WHERE project = %(project)s AND id = %(id)s AND version = %(version)s
        """,
        which,
    )
    await copy_contents(conn, generation, scope.project, memory_id, version, expires_at)
    await record_events(conn, scope.project, "updated", [(memory_id, version + 1)])
    return version + 1


async def newest(conn: Connection, scope: Scope) -> int:
    """The place in the order of creation of the newest memory of the scope; 0: there is none."""
    where = scope_condition(scope, "m")
    cursor = await conn.execute(
        sql.SQL("SELECT coalesce(max(m.seq), 0) FROM memory_versions m WHERE {}").format(where.clause),
        where.parameters,
    )
    row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


async def unburied(conn: Connection, scope: Scope, after: int, upto: int, limit: int) -> list[tuple[UUID, int]]:
    """The next memories of the scope between two places in the order of creation, expired too, and their places."""
    where = scope_condition(scope, "m")
    cursor = await conn.execute(
        sql.SQL(
            """SELECT m.id, m.seq FROM memory_versions m
               WHERE {} AND m.recorded_to IS NULL AND m.state = 'active' AND m.seq > %(after)s AND m.seq <= %(upto)s
               ORDER BY m.seq LIMIT %(limit)s"""
        ).format(where.clause),
        {**where.parameters, "after": after, "upto": upto, "limit": limit},
    )
    return [(row[0], row[1]) for row in await cursor.fetchall()]


async def bury(
    conn: Connection,
    generation: Generation,
    scope: Scope,
    ids: Sequence[UUID],
    provenance: dict[str, Any],
    *,
    which: Literal["current", "expired", "both"] = "current",
) -> list[tuple[UUID, int]]:
    """Delete those of the memories that are of the scope.

    Each head ends and a tombstone without text follows. Returns the ids with their tombstones' versions.
    An expired memory is out of sight already, and only buried when that is asked for. Which they are is looked at when
    they are locked: whoever held them may have moved their expiry.
    """
    where = scope_condition(scope, "m")
    these = sql.SQL("{} AND m.id = ANY(%(ids)s)").format(where.clause)
    parameters = {**where.parameters, "ids": list(ids)}
    await conn.execute(_lock(these), parameters)
    unburied = sql.SQL("m.recorded_to IS NULL AND m.state = 'active'")
    states = {
        "current": current(None).clause,
        "expired": sql.SQL("{} AND m.expires_at <= now()").format(unburied),
        "both": unburied,
    }
    cursor = await conn.execute(
        sql.SQL("SELECT m.id FROM memory_versions m WHERE {these} AND {state}").format(
            these=these, state=states[which]
        ),
        parameters,
    )
    found = [row[0] for row in await cursor.fetchall()]
    if not found:
        return []
    await _end(conn, generation, scope.project, found)
    cursor = await conn.execute(
        """
        INSERT INTO memory_versions (
            project, id, version, state, user_id, agent_id, app_id, run_id, seq, thread, turn, text, hash,
            provenance, event_time, created_at, recorded_from, lexemes)
        SELECT o.project, o.id, o.version + 1, 'deleted', o.user_id, o.agent_id, o.app_id, o.run_id, o.seq, o.thread,
               o.turn, '', '', %(provenance)s, o.event_time, o.created_at, o.recorded_to, ''
        FROM memory_versions o
        JOIN (SELECT id, max(version) AS version FROM memory_versions
              WHERE project = %(project)s AND id = ANY(%(ids)s) GROUP BY id) newest USING (id, version)
        WHERE o.project = %(project)s
        RETURNING id, version
        """,
        {"project": scope.project, "ids": found, "provenance": Jsonb(provenance)},
    )
    buried = [(row[0], row[1]) for row in await cursor.fetchall()]
    await record_events(conn, scope.project, "deleted", buried)
    return buried


async def _end(conn: Connection, generation: Generation, project: str, ids: list[UUID]) -> None:
    """End the heads of these memories, which the caller has locked."""
    # The clock, not the transaction's start: that may lie before the head was recorded.
    await conn.execute(
        """UPDATE memory_versions SET recorded_to = greatest(clock_timestamp(), recorded_from + interval '1 us')
           WHERE project = %s AND id = ANY(%s) AND recorded_to IS NULL""",
        (project, ids),
    )
    await conn.execute(
        sql.SQL("UPDATE {} SET head = false WHERE project = %s AND memory_id = ANY(%s) AND head").format(
            generation.table
        ),
        (project, ids),
    )
    await conn.execute(
        """UPDATE relations SET recorded_to = clock_timestamp()
           WHERE project = %s AND memory_id = ANY(%s) AND recorded_to IS NULL""",
        (project, ids),
    )


async def record_events(conn: Connection, project: str, event: str, changed: Sequence[tuple[UUID, int]]) -> None:
    """Note changes for whoever follows them: added, updated or deleted, and which versions came of it."""
    await conn.execute(
        INSERT_EVENTS,
        {"project": project, "event": event, "ids": [i for i, _ in changed], "versions": [v for _, v in changed]},
    )
