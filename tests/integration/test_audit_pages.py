"""Pages of the audit trail: what each question finds, and that an index answers it however long the trail has grown."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest

from memsys_api.store import audit
from memsys_api.store.audit import Question

from .conftest import Dsn, Replica

LINES = 60_000
ONE = str(UUID(int=7))
"""A memory with a line of its own and one that lists it among others, both among the oldest."""


@pytest.fixture
async def long(dsn: Dsn) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """The application's role before a long trail of two projects.

    Half of it is by ``busy`` on behalf of many, a fifth of the lines lists three memories; of ``quiet`` there are
    only five lines, and five on behalf of others, at the beginning.
    """
    with psycopg.connect(dsn.superuser, autocommit=True) as conn:
        conn.execute(
            """INSERT INTO audit (project, actor, action, target, detail)
               SELECT CASE WHEN n %% 10 = 0 THEN 'two' ELSE 'one' END,
                      CASE WHEN n %% 100 = 2 AND n < 500 THEN 'quiet'
                           WHEN n %% 100 = 3 AND n < 500 THEN 'quiet for u' || n
                           WHEN n %% 2 = 0 THEN 'busy for u' || n %% 5000 ELSE 'key' || n %% 20 END,
                      'memory.added',
                      CASE WHEN n = 8 THEN %(one)s WHEN n %% 5 > 0 THEN gen_random_uuid()::text END,
                      CASE WHEN n %% 5 > 0 THEN '{"count": 1}' ELSE jsonb_build_object('count', 3, 'memory_ids',
                          jsonb_build_array(CASE WHEN n = 5 THEN %(one)s ELSE gen_random_uuid()::text END,
                                            gen_random_uuid(), gen_random_uuid())) END
               FROM generate_series(1, %(lines)s) n""",
            {"one": ONE, "lines": LINES},
        )
        conn.execute("VACUUM ANALYZE audit")
    async with await psycopg.AsyncConnection.connect(dsn.app, autocommit=True) as conn:
        await conn.execute("SELECT set_config('memsys.project', 'one', false), set_config('jit', 'off', false)")
        yield conn


async def _read(conn: psycopg.AsyncConnection[Any], question: Question, limit: int) -> tuple[set[str], int, int]:
    """Which indexes a page was found by, how many lines were read for it, and how many it has."""
    many = question.actor is not None and await audit.acts_for_many(conn, "one", question.actor)
    statement, parameters = audit.sought("one", question, many, limit=limit, before=None)
    explained = b"EXPLAIN (ANALYZE, FORMAT JSON) " + statement.as_bytes(conn)
    row = await (await conn.execute(explained, parameters, prepare=True)).fetchone()
    assert row is not None
    nodes = [node for node in _nodes(row[0][0]["Plan"]) if node["Actual Loops"]]
    indexes = {node["Index Name"] for node in nodes if "Index Name" in node} - {"keys_pkey"}
    read = sum(
        node["Actual Rows"] + node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
        for node in nodes
        if node.get("Relation Name") == "audit"
    )
    return indexes, int(read), int(nodes[0]["Actual Rows"])


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for beneath in node.get("Plans", []):
        yield from _nodes(beneath)


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_few_lines_are_found_without_reading_others(long: psycopg.AsyncConnection[Any], mode: str) -> None:
    await long.execute("SELECT set_config('plan_cache_mode', %s, false)", (mode,))
    for question, indexes, lines in (
        (Question(target=ONE), {"audit_target", "audit_listed"}, 2),
        (Question(target=ONE, actor="key5"), {"audit_target", "audit_listed"}, 1),
        (Question(target=ONE, action="memory"), {"audit_target", "audit_listed"}, 2),
        (Question(target=str(UUID(int=8))), {"audit_target", "audit_listed"}, 0),
        (Question(actor="quiet"), {"audit_actor", "audit_delegated"}, 10),
        (Question(actor="quiet for u103"), {"audit_actor", "audit_delegated"}, 1),
        (Question(actor="nobody"), {"audit_actor", "audit_delegated"}, 0),
    ):
        for limit in (2, 101, 1001):
            used, read, found = await _read(long, question, limit)
            assert used == indexes, (question, limit)
            assert found == min(lines, limit), (question, limit)
            assert read <= 10, (question, limit)


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_of_a_busy_key_no_more_is_read_than_a_page_takes(long: psycopg.AsyncConnection[Any], mode: str) -> None:
    await long.execute("SELECT set_config('plan_cache_mode', %s, false)", (mode,))
    for limit in (2, 101, 1001):
        used, read, found = await _read(long, Question(actor="busy"), limit)
        assert used == {"audit_pkey"}
        assert found == limit
        assert read <= 3 * limit


@pytest.mark.parametrize("few", [10_000, 20])
async def test_pages_are_what_the_questions_say(
    api: Replica, dsn: Dsn, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "FEW", few)
    actors = [
        "k",
        "k for",
        "k for a",
        "k for a for b",
        "k for!",
        "k for ",
        "k forever",
        "K for a",
        "kk for a",
        "k2",
        "ﬀ",
    ]
    with psycopg.connect(dsn.superuser, autocommit=True) as conn:
        conn.execute(
            """INSERT INTO audit (project, actor, action, target, detail)
               SELECT 'default', (%(actors)s::text[])[1 + n %% %(count)s],
                      CASE WHEN n %% 3 = 0 THEN 'a.b' ELSE 'a.c' END,
                      CASE WHEN n %% 4 = 0 THEN 't' || n %% 3 END,
                      CASE n %% 4 WHEN 1 THEN jsonb_build_object('memory_ids', jsonb_build_array('t' || n %% 3, 't0'))
                                  WHEN 2 THEN jsonb_build_object('count', 't0') ELSE '{}' END
               FROM generate_series(1, 400) n""",
            {"actors": actors, "count": len(actors)},
        )
    [*lines] = (await api.client.get("/audit", params={"limit": 1000})).json()["results"]
    assert len(lines) == 400
    for actor in [None, *actors]:
        for target in (None, "t0", "t1", "none"):
            for action in (None, "a", "a.b"):
                expected = [
                    line
                    for line in lines
                    if (actor is None or line["actor"] == actor or line["actor"].startswith(f"{actor} for "))
                    and (target is None or target in (line["target"], *line["detail"].get("memory_ids", [])))
                    and (action is None or line["action"] == action or line["action"].startswith(f"{action}."))
                ]
                given = {"actor": actor, "target": target, "action": action, "limit": 40}
                question = {name: value for name, value in given.items() if value is not None}
                assert await _paged(api, question) == expected, question


async def _paged(api: Replica, question: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor = None
    while True:
        answer = await api.client.get("/audit", params=question | ({"cursor": cursor} if cursor else {}))
        assert answer.status_code == 200, answer.text
        found += answer.json()["results"]
        if (cursor := answer.json()["next_cursor"]) is None:
            return found
