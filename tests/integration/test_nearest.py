"""What the language model is shown of a scope: the same by its project's index as by comparing all of it."""

from __future__ import annotations

import psycopg
import pytest

from memsys_api.model import Scope
from memsys_api.store import vector_index
from memsys_api.store.nearest import nearest
from tests.support.scripted_llm import ScriptedLLM

from .conftest import Dsn, Fleet, Replica
from .support.waiting import until
from .test_inference_flow import facts, llm, llm_settings

__all__ = ["llm"]

SAID = [f"note {n} of the {n % 7} kind" for n in range(0, 64, 2)]


def _scans(dsn: Dsn) -> int:
    with psycopg.connect(dsn.superuser) as conn:
        row = conn.execute("SELECT sum(idx_scan) FROM pg_stat_user_indexes WHERE indexrelname LIKE '%_near_%'")
        return int((row.fetchone() or (0,))[0] or 0)


@pytest.fixture
async def filled(fleet: Fleet, dsn: Dsn) -> None:
    """Two users of one project whose words are each other's, and a few memories of one in a run."""
    async with fleet.replica() as api:
        for user in ("u", "v"):
            turns = [{"role": "user", "content": f"note {n} of the {n % 7} kind"} for n in range(300)]
            await api.add(turns, user_id=user, infer=False)
        await api.add("note 3 of the 3 kind", user_id="u", run_id="r", infer=False)
        generation = api.service.generation
        await until("the index is built", lambda: vector_index.build_missing(dsn.owner, generation, 50))
    with psycopg.connect(dsn.superuser, autocommit=True) as conn:
        # So few the planner would sort rather than ask the index; of thousands it would not.
        conn.execute(f"ALTER DATABASE {dsn.name} SET enable_sort = off")


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize(
    ("scope", "walks"),
    [(Scope("default", user_id="u"), True), (Scope("default", user_id="u", run_id="r"), False)],
)
async def test_both_ways_find_the_same(api: Replica, dsn: Dsn, scope: Scope, walks: bool) -> None:
    service = api.service
    vectors = await api.embedder.embed(SAID)

    async def found(large: int | None) -> list[tuple[str, str | None, str | None]]:
        memories = await nearest(service.database, service.generation, scope, vectors, 20, large=large)
        return [(one.text, one.scope.user_id, one.scope.run_id) for one in memories]

    compared = await found(None)
    assert len(compared) == (20 if walks else 1)
    assert await found(600) == compared


@pytest.mark.usefixtures("filled")
async def test_adds_to_a_large_scope_go_through_the_index(fleet: Fleet, llm: ScriptedLLM, dsn: Dsn) -> None:
    async with fleet.replica(VECTOR_EXACT_ROWS="100", **llm_settings(llm)) as api:
        before = _scans(dsn)
        llm.say(facts("User has notes"))
        await api.add([{"role": "user", "content": text} for text in SAID], user_id="u")
        assert "note 0 of the 0 kind" in llm.calls[-1].user
    await until("the index has been asked by every message", lambda: _scans(dsn) >= before + len(SAID))
