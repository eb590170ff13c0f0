"""Adds while the language model is away or talks nonsense: kept as they were said, and inferred afterwards, once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest

from memsys_api.flows.inferring import Inferring
from tests.support.scripted_llm import Call, Reply, ScriptedLLM

from .conftest import Dsn, Fleet, Replica
from .support.parts import MemorySink
from .support.waiting import until
from .test_inference_flow import KEY, facts, llm_settings, provenance, texts

TEA = "I like green tea"
DOWN = Reply(status=503)


@pytest.fixture
def llm() -> Iterator[ScriptedLLM]:
    with ScriptedLLM() as server:
        server.answer = lambda _: DOWN
        yield server


def settings(llm: ScriptedLLM) -> dict[str, Any]:
    return llm_settings(llm, LLM_RETRY_BASE_SECONDS=0.01)


def tea(_: Call) -> Reply:
    return Reply(facts("User likes green tea"))


async def info(api: Replica) -> dict[str, Any]:
    answer = await api.client.get("/info")
    assert answer.status_code == 200, answer.text
    return dict(answer.json()["llm"])


async def caught_up(api: Replica) -> bool:
    return (await info(api))["pending"] == 0


def due_now(dsn: Dsn) -> None:
    """As if the waits of all that is put off were over.

    What a worker has claimed is left alone, for its lease is what keeps others from it. So is a row that is locked at
    this moment: its worker shares this thread's event loop, so waiting for it would be waiting for ever.
    """
    with psycopg.connect(dsn.superuser) as conn:
        conn.execute(
            """
            UPDATE inferences SET due_at = now()
            WHERE (project, id) IN (SELECT project, id FROM inferences WHERE lease IS NULL FOR UPDATE SKIP LOCKED)
            """
        )


def end_lease(dsn: Dsn, lease: UUID | None) -> None:
    """As if the lease of somebody who died had run out, where it was not given back."""
    with psycopg.connect(dsn.superuser) as conn:
        conn.execute(
            """
            UPDATE inferences SET leased_until = now() - interval '1 s'
            WHERE (project, id) IN (SELECT project, id FROM inferences WHERE lease = %s FOR UPDATE SKIP LOCKED)
            """,
            (lease,),
        )


async def test_an_outage_loses_nothing_and_is_made_up_for(fleet: Fleet, llm: ScriptedLLM, dsn: Dsn) -> None:
    async with fleet.replica(sink=MemorySink(), **settings(llm)) as api:
        said = [
            {"role": "user", "content": TEA, "name": "Ann"},
            {"role": "assistant", "content": "thanks!"},
            {"role": "user", "content": "I live in Rome"},
        ]
        added = await api.add(said, user_id="u", metadata={"source": "chat"}, timestamp="2026-04-01T00:00:00Z")
        assert [(one["event"], one["memory"], one["inference"]) for one in added] == [
            ("ADD", TEA, "pending"),
            ("ADD", "I live in Rome", "pending"),
        ]
        assert await texts(api, user_id="u") == {TEA, "I live in Rome"}
        assert next(hit["memory"] for hit in await api.search("green tea", user_id="u")) == TEA
        assert provenance(dsn, added[0]["id"])["inference"] == "pending"
        assert (await api.client.get("/readyz")).status_code == 200
        assert (await info(api))["pending"] == 1

        llm.answer = lambda _: Reply(facts({"text": "Ann likes green tea", "messages": [0]}, "Ann lives in Rome"))
        due_now(dsn)
        await until("the back-fill has caught up", lambda: caught_up(api), 30)
        assert await texts(api, user_id="u") == {"Ann likes green tea", "Ann lives in Rome"}
        assert "2026-04-01" in llm.calls[-1].user
        answer = await api.client.get("/memories", params={"user_id": "u"})
        by_text = {memory["memory"]: memory for memory in answer.json()["results"]}
        fact = by_text["Ann likes green tea"]
        assert fact["metadata"] == {"source": "chat"}
        assert fact["event_time"].startswith("2026-04-01")
        ids = [one["id"] for one in added]
        assert provenance(dsn, fact["id"])["backfill_of"] == ids
        assert fact["id"] in provenance(dsn, ids[0], 2)["superseded_by"]
        history = (await api.client.get(f"/memories/{ids[0]}/history")).json()
        assert [(one["event"], one["old_memory"]) for one in history] == [("ADD", None), ("DELETE", TEA)]
        sink = api.sink
        assert sink is not None
        live = {memory["id"] for memory in by_text.values()}
        await until("the graph holds the facts alone", lambda: {str(i) for i in sink.live()} == live)
        state = await info(api)
        assert (state["available"], state["pending"], state["parked"]) == (True, 0, 0)


async def test_small_talk_is_not_stored_during_an_outage(fleet: Fleet, llm: ScriptedLLM) -> None:
    async with fleet.replica(**settings(llm)) as api:
        assert await api.add([{"role": "user", "content": "ok, thanks!"}], user_id="u") == []
        assert await texts(api, user_id="u") == set()
        assert (await info(api))["pending"] == 0


@pytest.mark.parametrize(
    "reply",
    [
        DOWN,
        Reply(status=429, headers={"retry-after": "1"}),
        Reply(status=401),
        Reply(hang_up=True),
        Reply("I'm sorry, I can't do that."),
        Reply(raw="<html>"),
        Reply(delay=5),
    ],
    ids=["unavailable", "rate-limited", "wrong key", "hangs up", "no JSON", "not the protocol", "too slow"],
)
async def test_whatever_the_model_does_an_add_is_answered(fleet: Fleet, llm: ScriptedLLM, reply: Reply) -> None:
    llm.answer = lambda _: reply
    async with fleet.replica(**(settings(llm) | {"LLM_TIMEOUT_SECONDS": 1.5})) as api:
        (added,) = await api.add(TEA, user_id="u")
        assert (added["event"], added["memory"], added["inference"]) == ("ADD", TEA, "pending")
        assert (await api.client.get("/readyz")).status_code == 200


async def test_a_dead_model_is_left_alone(fleet: Fleet, llm: ScriptedLLM) -> None:
    llm.close()
    async with fleet.replica(**settings(llm)) as api:
        for number in range(8):
            (added,) = await api.add(f"{TEA} number {number}", user_id="u")
            assert added["inference"] == "pending"
        state = await info(api)
        assert state["available"] is False
        assert state["last_error"]
        assert (await api.client.get("/readyz")).status_code == 200
        measured = (await api.client.get("/metrics")).text
        assert "memsys_inference_total" in measured


async def test_a_repeated_request_is_answered_as_pending_and_stored_once(fleet: Fleet, llm: ScriptedLLM) -> None:
    async with fleet.replica(**settings(llm)) as api:
        body = {"messages": TEA, "user_id": "u"}
        first = await api.client.post("/memories", json=body, headers=KEY)
        llm.answer = tea
        again = await api.client.post("/memories", json=body, headers=KEY)
        assert again.json() == first.json()
        assert first.json()["results"][0]["inference"] == "pending"


async def test_what_the_model_cannot_read_is_parked_and_stays_as_it_was_said(
    fleet: Fleet, llm: ScriptedLLM, dsn: Dsn
) -> None:
    llm.answer = lambda _: Reply("no")
    async with fleet.replica(**settings(llm)) as api:
        (added,) = await api.add(TEA, user_id="u")

        async def parked() -> bool:
            due_now(dsn)
            return (await info(api))["parked"] == 1

        await until("seven attempts are over", parked, 40)
        assert await texts(api, user_id="u") == {TEA}
        kept = provenance(dsn, added["id"])
        assert kept["inference"] == "failed"
        assert "unreadable" in kept["inference_error"]
        with psycopg.connect(dsn.superuser) as conn:
            assert conn.execute("SELECT attempts, state FROM inferences").fetchall() == [(7, "parked")]


async def test_what_its_workers_always_die_over_is_parked_after_the_last_attempt(
    fleet: Fleet, llm: ScriptedLLM, dsn: Dsn
) -> None:
    async with fleet.replica(**settings(llm)) as api:
        (added,) = await api.add(TEA, user_id="u")
    asked = len(llm.calls)
    llm.answer = tea
    with psycopg.connect(dsn.superuser) as conn:
        conn.execute(
            """
            UPDATE inferences SET attempts = 7, due_at = now(), lease = gen_random_uuid(),
                                  leased_until = now() - interval '1 s'
            """
        )
    async with fleet.replica(**settings(llm)) as api:

        async def parked() -> bool:
            return (await info(api))["parked"] == 1

        await until("nobody tries it again", parked)
        assert len(llm.calls) == asked
        assert await texts(api, user_id="u") == {TEA}
        kept = provenance(dsn, added["id"])
        assert kept["inference"] == "failed"
        assert "7 attempts" in kept["inference_error"]
        with psycopg.connect(dsn.superuser) as conn:
            assert conn.execute("SELECT attempts FROM inferences").fetchone() == (7,)
        assert (await api.client.post("/inferences/sync")).json()["requeued"] == 1
        await until("it has been read after all", lambda: caught_up(api), 30)
        assert await texts(api, user_id="u") == {"User likes green tea"}


async def test_what_was_edited_or_deleted_meanwhile_is_not_inferred(fleet: Fleet, llm: ScriptedLLM, dsn: Dsn) -> None:
    async with fleet.replica(**settings(llm)) as api:
        (edited,) = await api.add(TEA, user_id="u")
        (deleted,) = await api.add("I live in Rome", user_id="u")
        answer = await api.client.put(f"/memories/{edited['id']}", json={"text": "I like black tea"})
        assert answer.status_code == 200
        assert (await api.client.delete(f"/memories/{deleted['id']}")).status_code == 200
        llm.answer = tea
        asked = len(llm.calls)

        async def over() -> bool:
            due_now(dsn)
            return await caught_up(api)

        await until("the queue is empty", over, 30)
        assert len(llm.calls) == asked
        assert await texts(api, user_id="u") == {"I like black tea"}


async def test_a_worker_that_dies_before_it_commits_leaves_the_work_to_another(
    fleet: Fleet, llm: ScriptedLLM, dsn: Dsn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model has answered, the transaction is open, and the connection to PostgreSQL is cut."""
    inner = Inferring.carry_out
    cut = asyncio.Event()
    dead: list[UUID] = []

    async def dying(self: Inferring, conn: Any, *rest: Any, **more: Any) -> Any:
        written = await inner(self, conn, *rest, **more)
        if not cut.is_set():
            cut.set()
            with psycopg.connect(dsn.superuser, autocommit=True) as killer:
                dead.extend(row[0] for row in killer.execute("SELECT lease FROM inferences"))
                killer.execute("SELECT pg_terminate_backend(%s)", (conn.info.backend_pid,))
            await conn.execute("SELECT 1")
        return written

    async with fleet.replica(**settings(llm)) as api:
        await api.add(TEA, user_id="u")
        monkeypatch.setattr(Inferring, "carry_out", dying)
        llm.answer = tea

        async def over() -> bool:
            end_lease(dsn, dead[0])
            due_now(dsn)
            return await caught_up(api)

        await until("the first worker has died", cut.is_set, 20)
        assert await texts(api, user_id="u") == {TEA}  # its lease keeps the other ones away
        await until("another one has finished", over, 30)
        assert await texts(api, user_id="u") == {"User likes green tea"}
        with psycopg.connect(dsn.superuser) as conn:
            live = conn.execute("SELECT count(*) FROM memory_versions WHERE recorded_to IS NULL AND state = 'active'")
            assert live.fetchone() == (1,)
            assert conn.execute("SELECT count(*) FROM inference_requests").fetchone() == (0,)


async def test_replicas_that_work_off_the_same_queue_infer_everything_once_and_in_order(
    fleet: Fleet, llm: ScriptedLLM, dsn: Dsn
) -> None:
    async with fleet.replica(**settings(llm)) as one, fleet.replica(**settings(llm)) as two:
        for number in range(4):
            for user in ("u", "v"):
                await one.add(f"I like tea number {number}", user_id=user)

        def answer(call: Call) -> Reply:
            number = call.user.partition("New Messages")[2].partition("tea number ")[2][0]
            return Reply(facts(f"User likes tea number {number}"), delay=0.02)

        llm.answer = answer
        due_now(dsn)

        async def over() -> bool:
            return await caught_up(one)

        await until("the back-fill has caught up", over, 40)
        for user in ("u", "v"):
            answered = await two.client.get("/memories", params={"user_id": user})
            found = [memory["memory"] for memory in answered.json()["results"]]
            assert found == [f"User likes tea number {number}" for number in (3, 2, 1, 0)]
