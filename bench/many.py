"""Many memories without the API: copies of what a project holds, for what is measured later is reading them.

Texts are not embedded again. A copy's vector is its original's with noise, so that a search by meaning has as many
different answers to tell apart as there would be.
"""

from __future__ import annotations

import numpy as np
import psycopg
from pgvector import HalfVector
from pgvector.psycopg import register_vector

NOISE = 0.02
"""Standard deviation of what each component of a unit vector is moved by: the cosine to the original is about .93."""
_AT_ONCE = 5_000

_COPIES = """
CREATE TEMP TABLE copies AS
SELECT m.id AS original, n, gen_random_uuid() AS id
FROM memory_versions m CROSS JOIN generate_series(1, %s) AS n
WHERE m.project = %s AND m.recorded_to IS NULL AND m.state = 'active'
"""
_VERSIONS = """
INSERT INTO memory_versions (
    project, id, version, state, user_id, agent_id, app_id, run_id, seq, thread, turn, text, hash, role, speaker,
    metadata, provenance, event_time, created_at, recorded_from, lexemes)
SELECT m.project, c.id, 1, m.state, m.user_id, m.agent_id, m.app_id, m.run_id, nextval('memory_seq'),
       m.thread || '-' || c.n, m.turn, m.text || ' ' || c.n, m.hash, m.role, m.speaker,
       m.metadata, m.provenance, m.event_time, now(), now(), m.lexemes
FROM copies c JOIN memory_versions m ON m.id = c.original AND m.project = %s AND m.recorded_to IS NULL
ORDER BY c.n, m.seq
"""
_SCOPE = "project, memory_id, version, user_id, agent_id, app_id, run_id, head"


def multiply(database: str, project: str, copies: int) -> None:
    """Give every memory of a project so many copies. ``database`` is the superuser's URL."""
    random = np.random.default_rng(1)
    with psycopg.connect(database) as conn:
        register_vector(conn)
        conn.execute(_COPIES, (copies, project))
        conn.execute(_VERSIONS, (project,))
        originals = {
            row[0]: (row[1:-1], row[-1].to_numpy().astype(np.float32))
            for row in conn.execute(
                """SELECT memory_id, user_id, agent_id, app_id, run_id, embedding FROM embeddings_1
                   WHERE project = %s AND head""",
                (project,),
            )
        }
        wanted = conn.execute("SELECT id, original FROM copies ORDER BY n").fetchall()
        with conn.cursor().copy(f"COPY embeddings_1 ({_SCOPE}, embedding) FROM STDIN (FORMAT binary)") as copy:
            copy.set_types(["text", "uuid", "int4", "text", "text", "text", "text", "bool", "halfvec"])
            for start in range(0, len(wanted), _AT_ONCE):
                part = wanted[start : start + _AT_ONCE]
                moved = np.stack([originals[original][1] for _, original in part])
                moved += random.normal(0, NOISE, moved.shape).astype(np.float32)
                moved /= np.linalg.norm(moved, axis=1, keepdims=True)
                for (own, original), vector in zip(part, moved, strict=True):
                    copy.write_row((project, own, 1, *originals[original][0], True, HalfVector(vector)))
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute("VACUUM (ANALYZE) memory_versions")
        conn.execute("VACUUM (ANALYZE) embeddings_1")
