"""A part of a project whose memories lie farther from the query than everybody else's."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import numpy as np
import psycopg
import pytest

from .conftest import Dsn, Fleet
from .support.parts import WordEmbedder

QUERY = "sunset over the harbour"
NEARER, PART = 24_000, 2_000  # pgvector by itself ends a walk after 20,000


@pytest.fixture
async def crowded(dsn: Dsn) -> None:
    """A project whose index has first to go through all of one user's vectors to come upon the other's."""
    random = np.random.default_rng(1)
    [query] = await WordEmbedder().embed([QUERY])
    others = query + 0.05 * random.standard_normal((NEARER, query.size))
    part = random.standard_normal((PART, query.size))
    with psycopg.connect(dsn.superuser, autocommit=True) as conn:
        conn.execute("INSERT INTO projects (name) VALUES ('crowded')")
        conn.execute("CREATE TEMP TABLE given (id uuid DEFAULT gen_random_uuid(), owner text, near vector(64))")
        with conn.cursor().copy("COPY given (owner, near) FROM STDIN") as copy:
            for owner, rows in (("many", others), ("part", part)):
                for row in rows:
                    copy.write_row((owner, str(row.tolist())))
        conn.execute(
            """INSERT INTO memory_versions (project, id, version, state, user_id, seq, text, hash, metadata,
                   event_time, created_at, recorded_from, lexemes)
               SELECT 'crowded', id, 1, 'active', owner, nextval('memory_seq'), 'x', '',
                      jsonb_build_object('owner', owner), now(), now(), now(), '' FROM given"""
        )
        conn.execute(
            """INSERT INTO embeddings_1 (project, memory_id, version, user_id, head, embedding)
               SELECT 'crowded', id, 1, owner, true, near::halfvec FROM given"""
        )
        conn.execute("ANALYZE memory_versions, embeddings_1")
        # With few edges, so that it is quick to build and no search sees all of so small a graph at once.
        name = f"embeddings_1_near_{sha256(b'crowded').hexdigest()[:16]}"
        conn.execute(
            f"""CREATE INDEX {name} ON embeddings_1 USING hnsw (embedding halfvec_cosine_ops)
                WITH (m = 4, ef_construction = 32) WHERE project = 'crowded' AND head"""
        )
        # So small a part the planner would sort rather than ask the index; of thousands it would not.
        conn.execute(f"ALTER DATABASE {dsn.name} SET enable_sort = off")


@pytest.mark.usefixtures("crowded")
async def test_what_is_nearest_of_a_part_is_found_behind_what_is_nearer_of_others(fleet: Fleet) -> None:
    answers: list[list[list[str]]] = []
    for index in ("auto", "exact"):
        async with fleet.replica(VECTOR_INDEX=index, VECTOR_EXACT_ROWS="50") as api:
            found = []
            for asked in ({"user_id": "part"}, {"filters": {"owner": "part"}}):
                body: dict[str, Any] = {"query": QUERY, "top_k": 10, **asked}
                answer = await api.client.post("/search", json=body, headers={"X-Memsys-Project": "crowded"})
                found.append([one["id"] for one in answer.json()["results"]])
            answers.append(found)
    assert answers[0] == answers[1]
    assert [len(found) for found in answers[0]] == [10, 10]
