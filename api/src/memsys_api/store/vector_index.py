"""Builds the approximate index of a project that has outgrown exact search, without stopping writes."""

from __future__ import annotations

import hashlib
import logging

from psycopg import sql

from memsys_api.store import chores
from memsys_api.store.database import Connection, connect, translated
from memsys_api.store.generations import Generation

log = logging.getLogger(__name__)

_LOCK = 0x6D656D73797369  # "memsysi"
_PERIOD_SECONDS = 300.0
_EF_CONSTRUCTION = 128  # with pgvector's own 64 a search of many near duplicates finds less


async def keep(owner_url: str, generation: Generation, rows: int) -> None:
    """Look every five minutes for projects with more vectors than ``rows`` and build what they lack; never returns."""
    await chores.repeat("vector index", lambda: build_missing(owner_url, generation, rows), _PERIOD_SECONDS)


async def build_missing(owner_url: str, generation: Generation, rows: int) -> list[str]:
    """Build the index of every project with more vectors than ``rows``; returns the projects it was built for.

    One replica at a time: the others find the lock taken and leave it at that. An index left half-built by a crash is
    dropped and built again.
    """
    conn = await connect(owner_url)
    try:
        async with translated():
            cursor = await conn.execute("SELECT pg_try_advisory_lock(%s)", (_LOCK,))
            if await cursor.fetchone() != (True,):
                return []
            cursor = await conn.execute("SELECT name FROM projects ORDER BY name")
            return [
                project
                for (project,) in await cursor.fetchall()
                if await _outgrown(conn, generation, project, rows) and await _build(conn, generation, project)
            ]
    finally:
        await conn.close()


async def _outgrown(conn: Connection, generation: Generation, project: str, rows: int) -> bool:
    async with conn.transaction():
        await conn.execute("SELECT set_config('memsys.project', %s, true)", (project,))
        cursor = await conn.execute(
            sql.SQL("SELECT count(*) > %s FROM (SELECT FROM {} WHERE project = %s AND head LIMIT %s) bounded").format(
                generation.table
            ),
            (rows, project, rows + 1),
        )
        return await cursor.fetchone() == (True,)


async def is_built(conn: Connection, generation: Generation, project: str) -> bool:
    """Whether the project has its index, whole."""
    return await _state(conn, _name(generation, project)) == (True,)


def _name(generation: Generation, project: str) -> str:
    digest = hashlib.sha256(project.encode()).hexdigest()[:16]
    return f"embeddings_{generation.id}_near_{digest}"


async def _state(conn: Connection, name: str) -> tuple[bool, ...] | None:
    cursor = await conn.execute("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", (name,))
    return await cursor.fetchone()


async def _build(conn: Connection, generation: Generation, project: str) -> bool:
    name = _name(generation, project)
    state = await _state(conn, name)
    if state == (True,):
        return False
    if state == (False,):
        await conn.execute(sql.SQL("DROP INDEX CONCURRENTLY {}").format(sql.Identifier(name)))
    log.info("building vector index", extra={"project": project, "index": name})
    await conn.execute(
        sql.SQL(
            "CREATE INDEX CONCURRENTLY {} ON {} USING hnsw (embedding {}) WITH (ef_construction = {}) "
            "WHERE project = {} AND head"
        ).format(
            sql.Identifier(name),
            generation.table,
            generation.operators,
            sql.Literal(_EF_CONSTRUCTION),
            sql.Literal(project),
        )
    )
    return True
