"""Makes many memories out of few, in PostgreSQL itself: what is measured later is reading them, not embedding them."""

from __future__ import annotations

import time

import psycopg

INDEX_SECONDS = 600.0

_COPIES = """
CREATE TEMP TABLE copies AS
SELECT m.id AS original, n, gen_random_uuid() AS id
FROM memory_versions m CROSS JOIN generate_series(1, %s) AS n
WHERE m.project = %s AND m.recorded_to IS NULL AND m.state = 'active'
"""
_VERSIONS = """
INSERT INTO memory_versions (
    project, id, version, state, user_id, agent_id, app_id, run_id, seq, text, hash, role, speaker, metadata,
    provenance, event_time, created_at, recorded_from, lexemes)
SELECT m.project, c.id, 1, m.state, m.user_id, m.agent_id, m.app_id, m.run_id, nextval('memory_seq'),
       m.text || ' ' || c.n, m.hash, m.role, m.speaker, m.metadata, m.provenance, m.event_time, now(), now(), m.lexemes
FROM copies c JOIN memory_versions m ON m.id = c.original AND m.project = %s AND m.recorded_to IS NULL
"""
_VECTORS = """
INSERT INTO embeddings_1 (project, memory_id, version, user_id, agent_id, app_id, run_id, expires_at, head, embedding)
SELECT e.project, c.id, 1, e.user_id, e.agent_id, e.app_id, e.run_id, NULL, true, e.embedding
FROM copies c JOIN embeddings_1 e ON e.memory_id = c.original AND e.project = %s AND e.head
"""


def multiply(database: str, project: str, copies: int) -> None:
    """Give every memory of a project so many copies with the same vector. ``database`` is the superuser's URL."""
    with psycopg.connect(database) as conn:
        conn.execute(_COPIES, (copies, project))
        conn.execute(_VERSIONS, (project,))
        conn.execute(_VECTORS, (project,))
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute("VACUUM (ANALYZE) memory_versions")
        conn.execute("VACUUM (ANALYZE) embeddings_1")


def wait_for_index(database: str) -> None:
    """Return when the server has built an approximate index. Raises TimeoutError."""
    deadline = time.monotonic() + INDEX_SECONDS
    with psycopg.connect(database, autocommit=True) as conn:
        while True:
            (built,) = conn.execute(
                """SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
                   JOIN pg_am a ON a.oid = c.relam WHERE a.amname = 'hnsw' AND i.indisvalid"""
            ).fetchone() or (0,)
            if built:
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"no approximate index of vectors within {INDEX_SECONDS:g} s")
            time.sleep(1)
