"""The approximate index: built for who has outgrown exact search, once, and right about what is nearest."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg

from memsys_api.store import vector_index

from .conftest import Dsn, Fleet, Replica
from .support.waiting import until


def _indexes(dsn: Dsn, valid: bool = True) -> list[str]:
    with psycopg.connect(dsn.superuser) as conn:
        rows = conn.execute(
            """SELECT pg_get_indexdef(indexrelid) FROM pg_index
               WHERE indrelid = 'embeddings_1'::regclass AND indisvalid = %s""",
            (valid,),
        )
        return [row[0] for row in rows if "hnsw" in row[0]]


async def _fill(api: Replica, project: str, count: int, **fields: Any) -> None:
    turns = [{"role": "user", "content": f"note {n} of the {n % 7} kind"} for n in range(count)]
    body = {"messages": turns, **fields}
    answer = await api.client.post("/memories", json=body, headers={"X-Memsys-Project": project})
    assert answer.status_code == 200


async def test_only_a_project_that_outgrows_exact_search_gets_one_and_replicas_do_not_collide(
    api: Replica, dsn: Dsn
) -> None:
    await _fill(api, "large", 30)
    await _fill(api, "small", 5)
    built = await asyncio.gather(*(vector_index.build_missing(dsn.owner, api.service.generation, 20) for _ in range(4)))
    assert [project for projects in built for project in projects] == ["large"]
    [definition] = _indexes(dsn)
    assert "WHERE ((project = 'large'::text) AND head)" in definition
    assert await vector_index.build_missing(dsn.owner, api.service.generation, 20) == []


async def test_what_a_crash_left_half_built_is_built_again(api: Replica, dsn: Dsn) -> None:
    await _fill(api, "large", 30)
    await vector_index.build_missing(dsn.owner, api.service.generation, 20)
    with psycopg.connect(dsn.superuser) as conn:
        conn.execute(
            """UPDATE pg_index SET indisvalid = false
               WHERE indexrelid IN (SELECT oid FROM pg_class WHERE relname LIKE 'embeddings_1_near_%')"""
        )
    assert _indexes(dsn) == []
    assert await vector_index.build_missing(dsn.owner, api.service.generation, 20) == ["large"]
    assert len(_indexes(dsn)) == 1
    assert _indexes(dsn, valid=False) == []


async def test_approximate_search_finds_the_same_also_in_a_narrow_scope(fleet: Fleet, dsn: Dsn) -> None:
    """A small user inside a large project: an index that filters after the fact would miss most of it."""
    async with fleet.replica(VECTOR_INDEX="exact") as exact:
        for user in range(3):
            await _fill(exact, "default", 400, user_id=f"u{user}")
        await _fill(exact, "default", 12, user_id="rare")
        queries = [f"note {n} of the {n % 7} kind" for n in range(12)]
        expected = [await exact.search(q, user_id="rare", top_k=5) for q in queries]
        async with fleet.replica(VECTOR_INDEX="hnsw", embedder=exact.embedder) as approximate:
            await until("the index is built", lambda: _indexes(dsn))
            found = [await approximate.search(q, user_id="rare", top_k=5) for q in queries]
    assert [[r["id"] for r in answer] for answer in found] == [[r["id"] for r in answer] for answer in expected]
    assert all(len(answer) == 5 for answer in found)
