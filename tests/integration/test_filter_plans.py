"""Filters are answered from indexes, also by the role that row-level security holds, also by a prepared statement."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest

from memsys_api import filters
from memsys_api.model import Scope
from memsys_api.store.filters import conditions
from memsys_api.store.rows import current, scope_condition

from .conftest import Dsn

PROJECTS, EACH = 40, 250


@pytest.fixture
async def crowded(dsn: Dsn) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """The application's role among 40 projects of 250 memories; in each, five have a ticket that others have too."""
    with psycopg.connect(dsn.superuser, autocommit=True) as conn:
        conn.execute(
            """INSERT INTO memory_versions (project, id, version, state, user_id, seq, text, hash, metadata, event_time,
                                            created_at, recorded_from, lexemes)
               SELECT 'p' || p, gen_random_uuid(), 1, 'active', 'u' || n %% 10, nextval('memory_seq'), 'x', '',
                      jsonb_build_object('kind', 'note', 'n', n) || CASE WHEN n < 5
                          THEN jsonb_build_object('ticket', 'T-' || p || '-' || n, 'tags', jsonb_build_array('r' || p))
                          ELSE '{}' END,
                      now(), now() - n * interval '1 day', now(), ''
               FROM generate_series(1, %s) p, generate_series(0, %s) n""",
            (PROJECTS, EACH - 1),
        )
        conn.execute("VACUUM ANALYZE memory_versions")
    async with await psycopg.AsyncConnection.connect(dsn.app, autocommit=True) as conn:
        await conn.execute("SELECT set_config('memsys.project', 'p7', false), set_config('jit', 'off', false)")
        yield conn


async def _plan(conn: psycopg.AsyncConnection[Any], raw: dict[str, Any]) -> tuple[str, int, int]:
    """The plan after ten executions as JSON, how many rows it read in all, and how many it found."""
    wanted = filters.parse(raw)
    where, when = scope_condition(Scope("p7", **wanted.ids), "m"), current(None)
    extra = conditions(wanted.rest)
    clause = " AND ".join(
        [where.clause.as_string(conn), when.clause.as_string(conn), *(c.clause.as_string(conn) for c in extra)]
    )
    parameters = dict(where.parameters)
    for condition in extra:
        parameters |= condition.parameters
    statement = f"SELECT m.id FROM memory_versions m WHERE {clause} ORDER BY m.seq DESC LIMIT 100"
    for _ in range(10):
        await conn.execute(statement, parameters, prepare=True)
    cursor = await conn.execute(f"EXPLAIN (ANALYZE, BUFFERS OFF, FORMAT JSON) {statement}", parameters, prepare=True)
    row = await cursor.fetchone()
    assert row is not None
    root = row[0][0]["Plan"]
    read, pending = 0, [root]
    while pending:
        node = pending.pop()
        pending += node.get("Plans", [])
        if "Relation Name" in node:
            read += (
                node["Actual Rows"]
                + node.get("Rows Removed by Filter", 0)
                + node.get("Rows Removed by Index Recheck", 0)
            )
    return json.dumps(root), int(read), int(root["Actual Rows"])


@pytest.mark.parametrize(("raw", "found"), [
    ({"ticket": "T-7-3"}, 1),
    ({"ticket": {"in": ["T-7-1", "T-7-2", "T-8-1"]}}, 2),
    ({"OR": [{"ticket": "T-7-1"}, {"ticket": "T-7-4"}]}, 2),
    ({"AND": [{"kind": "note"}, {"ticket": "T-7-0"}]}, 1),
], ids=str)  # fmt: skip
async def test_equality_and_in_are_answered_by_the_index_on_metadata(
    crowded: psycopg.AsyncConnection[Any], raw: dict[str, Any], found: int
) -> None:
    plan, read, rows = await _plan(crowded, raw)
    assert rows == found
    assert "memory_metadata" in plan, plan
    assert read <= found + 1  # of its list of three, one is another project's


@pytest.mark.parametrize("raw", [
    {"kind": "note"},
    {"tags": {"contains": "r7"}},
    {"OR": [{"kind": "note"}, {"n": {"gt": 5}}]},
    {"kind": {"in": ["note", "letter"]}},
    {"NOT": {"kind": "letter"}},
    {"n": {"gte": 100}},
], ids=str)  # fmt: skip
async def test_what_all_projects_have_is_looked_for_in_one_of_them(
    crowded: psycopg.AsyncConnection[Any], raw: dict[str, Any]
) -> None:
    plan, read, _ = await _plan(crowded, raw)
    assert "Seq Scan" not in plan
    assert read <= EACH, plan


async def test_days_are_answered_by_the_index_on_creation(crowded: psycopg.AsyncConnection[Any]) -> None:
    plan, read, rows = await _plan(crowded, {"created_at": {"gte": "2000-01-01", "lt": "2000-01-03"}})
    assert rows == 0
    assert "memory_created" in plan, plan
    assert read == 0
