"""Large scopes: measured by a sample, searched through indexes, and complete where a filter leaves little."""

from __future__ import annotations

import psycopg
import pytest

from memsys_api import filters
from memsys_api.flows.search_way import Chooser
from memsys_api.model import Scope
from memsys_api.store.filters import conditions
from memsys_api.store.rows import Condition
from memsys_api.store.sizes import SAMPLE, measure

from .conftest import Dsn, Fleet, Replica

ROWS = 3 * SAMPLE


@pytest.fixture
def large(dsn: Dsn, api: Replica) -> None:
    """A project of 6,000 memories: all say "common", a tenth "seldom", each a number of its own."""
    with psycopg.connect(dsn.superuser, autocommit=True) as conn:
        conn.execute(
            """INSERT INTO memory_versions (project, id, version, state, user_id, seq, text, hash, metadata,
                   event_time, created_at, recorded_from, lexemes)
               SELECT 'large', gen_random_uuid(), 1, 'active', 'u' || n %% 2, nextval('memory_seq'), 'x', '',
                      jsonb_build_object('shelf', n / 10), now(), now(), now(),
                      to_tsvector('english', 'common' || CASE WHEN n %% 10 = 0 THEN ' seldom' ELSE '' END || ' w' || n)
               FROM generate_series(1, %s) n""",
            (ROWS,),
        )
        conn.execute("ANALYZE memory_versions")


def _shelf(number: int) -> list[Condition]:
    return conditions(filters.parse({"shelf": number}).rest)


@pytest.mark.usefixtures("large")
async def test_a_scope_is_counted_up_to_a_bound_and_estimated_beyond_it(api: Replica) -> None:
    database = api.service.database
    counted = await measure(database, Scope("large"), bound=ROWS + 1)
    assert (counted.rows, counted.common) == (ROWS, "{}")
    estimated = await measure(database, Scope("large"), bound=1_000)
    # Six standard errors of the estimator, whose relative one is 1/√2,000.
    assert estimated.rows == pytest.approx(ROWS, rel=0.135)
    assert estimated.mean_length == pytest.approx(2.1, abs=0.05)
    async with database.system() as conn:
        arrays = await conn.execute("SELECT %s::text[], %s::float[]", (estimated.common, estimated.shares))
    shares = dict(zip(*(await arrays.fetchone() or ()), strict=True))
    assert shares["common"] == 1.0
    assert shares["seldom"] == pytest.approx(0.1, abs=0.04)
    half = await measure(database, Scope("large", user_id="u1"), bound=1_000)
    assert half.rows == pytest.approx(ROWS / 2, rel=0.135)
    assert (await measure(database, Scope("large"), _shelf(7), bound=1_000)).rows == 10
    assert (await measure(database, Scope("none"), bound=1_000)).rows == 0


@pytest.mark.usefixtures("large")
async def test_the_way_follows_the_size_of_what_is_searched(api: Replica) -> None:
    chooser = Chooser(api.service.database, index="auto", exact_rows=1_000)
    large, half, small = Scope("large"), Scope("large", user_id="u0"), Scope("small")

    async def way(scope: Scope, wanted: list[Condition] | None = None, *, past: bool = False) -> str:
        return (await chooser.choose(scope, wanted or [], past=past)).way

    assert await way(large) == await way(half) == "indexes"
    assert await way(small) == "scan"
    assert await way(large, past=True) == "scan"
    assert await way(large, _shelf(3)) == "filtered"
    assert await way(large, conditions(filters.parse({"shelf": {"gte": 0}}).rest)) == "indexes"
    chooser = Chooser(api.service.database, index="exact", exact_rows=1_000)
    assert await way(large) == "scan"
    chooser = Chooser(api.service.database, index="hnsw", exact_rows=1_000)
    assert await way(small) == "indexes"


async def test_a_filter_that_leaves_little_of_a_large_scope_leaves_all_of_that(fleet: Fleet) -> None:
    """The index's nearest are others: filtered after the fact, they would be no answer."""
    async with fleet.replica(VECTOR_EXACT_ROWS="50") as api:
        for batch in range(3):
            turns = [{"role": "user", "content": f"the cat sat on mat number {batch * 100 + n}"} for n in range(100)]
            await api.client.post("/memories", json={"messages": turns})
        for text in ("rye bread", "sourdough", "a croissant"):
            await api.add(text, metadata={"kind": "bakery"})
        plain = await api.search("Where did the cat sit?", top_k=5)
        found = await api.search("Where did the cat sit?", top_k=5, filters={"kind": "bakery"})
    assert all("mat number" in one["memory"] for one in plain)
    assert {one["memory"] for one in found} == {"rye bread", "sourdough", "a croissant"}
