"""Budgets of the language model's tokens: counted for all replicas, kept by adds and back-fills, said in answers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime

import psycopg
import pytest

from memsys_api.access.budgets import Budgets, OverBudget
from tests.support.scripted_llm import Call, Reply, ScriptedLLM

from .conftest import Dsn, Fleet, Replica
from .support.parts import MemorySink
from .support.waiting import until
from .test_inference_flow import facts, llm_settings

TEA = "I like green tea"


@pytest.fixture
def llm() -> Iterator[ScriptedLLM]:
    with ScriptedLLM() as server:
        server.answer = tea
        yield server


def tea(_: Call) -> Reply:
    return Reply(facts("User likes green tea"), tokens=(60, 40))


async def _policy(api: Replica, **policy: object) -> None:
    answer = await api.client.put("/policy", json=policy)
    assert answer.status_code == 200, answer.text


async def _used(api: Replica) -> int:
    return int((await api.client.get("/policy")).json()["llm_tokens_today"])


async def test_past_the_budget_adds_are_kept_as_said_and_say_so_on_every_replica(
    fleet: Fleet, llm: ScriptedLLM
) -> None:
    settings = llm_settings(llm, MEMSYS_LLM_TOKENS_PER_DAY=150)
    async with fleet.replica(**settings) as one, fleet.replica(**settings) as two:
        assert "inference" not in (await one.add(TEA, user_id="a"))[0]
        assert "inference" not in (await two.add(TEA, user_id="b"))[0]
        assert await _used(one) == await _used(two) == 200
        for replica in (one, two):
            [added] = await replica.add(TEA, user_id="c")
            assert (added["memory"], added["inference"]) == (TEA, "over-budget")
        assert len(llm.calls) == 2
        elsewhere = await one.client.post(
            "/memories", json={"messages": TEA, "user_id": "a"}, headers={"X-Memsys-Project": "other"}
        )
        assert "inference" not in elsewhere.json()["results"][0]
        assert b"memsys_llm_over_budget_total" in (await one.client.get("/metrics")).content


async def test_a_raised_budget_is_spent_on_what_waited(fleet: Fleet, llm: ScriptedLLM) -> None:
    async with fleet.replica(sink=MemorySink(), **llm_settings(llm)) as api:
        await _policy(api, llm_tokens_per_day=0)
        [added] = await api.add(TEA, user_id="u")
        assert added["inference"] == "over-budget"

        async def put_off() -> bool:
            with psycopg.connect(fleet.dsn.superuser) as conn:
                row = conn.execute("SELECT due_at > now() + interval '1 s', state FROM inferences").fetchone()
            return row == (True, "pending")

        if datetime.now(UTC).strftime("%H:%M") != "23:59":
            await until("the back-fill has put it off to another day", put_off)
        assert not llm.calls
        await _policy(api, llm_tokens_per_day=1000)

        async def inferred() -> bool:
            listed = (await api.client.get("/memories", params={"user_id": "u"})).json()["results"]
            return [memory["memory"] for memory in listed] == ["User likes green tea"]

        await until("what waited is inferred", inferred)
        assert await _used(api) == 100


async def test_unreadable_answers_cost_too(fleet: Fleet, llm: ScriptedLLM) -> None:
    llm.answer = lambda _: Reply("I would rather not", tokens=(10, 5))
    async with fleet.replica(**llm_settings(llm, LLM_RETRY_BASE_SECONDS=60)) as api:
        [added] = await api.add(TEA, user_id="u")
        assert added["inference"] == "pending"

        async def counted() -> bool:
            return await _used(api) == 15 * len(llm.calls) >= 30

        await until("both tries are counted", counted)


@pytest.mark.parametrize(
    "second",
    [Reply(status=429, headers={"retry-after": "60"}), Reply(status=400), Reply(delay=3)],
    ids=["limited", "refused", "slow"],
)
async def test_an_unreadable_answer_costs_also_where_the_correction_fails(
    fleet: Fleet, llm: ScriptedLLM, second: Reply
) -> None:
    llm.queue(Reply("I would rather not", tokens=(10, 5)))
    llm.answer = lambda _: second
    async with fleet.replica(**llm_settings(llm, LLM_TIMEOUT_SECONDS=1)) as api:
        await api.add(TEA, user_id="u")
        assert len(llm.calls) >= 2
        assert await _used(api) == 15


async def test_an_unreadable_answer_costs_also_where_the_caller_leaves(fleet: Fleet, llm: ScriptedLLM) -> None:
    llm.queue(Reply("I would rather not", tokens=(10, 5)), Reply(delay=60))
    async with fleet.replica(**llm_settings(llm)) as api:
        leaving = asyncio.create_task(api.add(TEA, user_id="u"))

        async def asked_again() -> bool:
            return len(llm.calls) == 2

        await until("the model is asked once more", asked_again)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        assert await _used(api) == 15


async def test_the_budget_begins_anew_at_midnight_utc(api: Replica, dsn: Dsn) -> None:
    await _policy(api, llm_tokens_per_day=10)
    with psycopg.connect(dsn.superuser) as conn:
        conn.execute("INSERT INTO llm_usage VALUES ('default', (now() AT TIME ZONE 'UTC')::date - 1, 10, 1)")
    evening = datetime(2026, 3, 1, 23, 59, tzinfo=UTC)
    budgets = Budgets(api.service.database, api.service.policies, now=lambda: evening)
    await budgets.check("default")
    with psycopg.connect(dsn.superuser) as conn:
        conn.execute("UPDATE llm_usage SET day = (now() AT TIME ZONE 'UTC')::date")
    with pytest.raises(OverBudget) as refused:
        await budgets.check("default")
    assert refused.value.retry_after == 60
