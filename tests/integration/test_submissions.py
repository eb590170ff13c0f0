"""Adds that are answered at once: durable, followed by an event, carried out once by whoever is there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import httpx
import psycopg
import pytest

from memsys_api.flows.inferring import Inferring
from memsys_api.store import retention
from tests.support.scripted_llm import Reply, ScriptedLLM

from .conftest import Dsn, Fleet, MakeKey, Replica
from .support.waiting import until
from .test_inference_flow import KEY, facts, llm_settings, provenance, texts
from .test_inference_flow_outage import due_now

TEA = "I like green tea"


@pytest.fixture
def llm() -> Iterator[ScriptedLLM]:
    with ScriptedLLM() as server:
        server.answer = lambda _: Reply(facts("User likes green tea"))
        yield server


@pytest.fixture
async def thinking(fleet: Fleet, llm: ScriptedLLM) -> AsyncIterator[Replica]:
    async with fleet.replica(**settings(llm)) as replica:
        yield replica


def settings(llm: ScriptedLLM) -> dict[str, Any]:
    return llm_settings(llm, LLM_RETRY_BASE_SECONDS=0.01)


async def submit(api: Replica, text: str = TEA, headers: dict[str, str] | None = None, **fields: Any) -> dict[str, Any]:
    body = {"text": text, "user_id": "u", "wait": False} | fields
    answer = await api.client.post("/memories", json=body, headers=headers)
    assert answer.status_code == 202, answer.text
    assert answer.headers["Location"] == f"/events/{answer.json()['id']}"
    return dict(answer.json())


async def event(api: Replica, event_id: str) -> dict[str, Any]:
    answer = await api.client.get(f"/events/{event_id}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def becomes(api: Replica, event_id: str, status: str, seconds: float = 20) -> dict[str, Any]:
    async def so() -> bool:
        return (await event(api, event_id))["status"] == status

    await until(f"the event is {status}", so, seconds)
    return await event(api, event_id)


async def test_it_is_answered_before_the_model_and_its_facts_follow(thinking: Replica, llm: ScriptedLLM) -> None:
    llm.answer = lambda _: Reply(facts("User likes green tea"), delay=0.5)
    begun = asyncio.get_running_loop().time()
    submitted = await submit(thinking)
    assert asyncio.get_running_loop().time() - begun < 0.5
    assert submitted["status"] in ("PENDING", "RUNNING")
    assert [(one["memory"], one["inference"]) for one in submitted["results"]] == [(TEA, "pending")]
    assert await texts(thinking, user_id="u") == {TEA}
    await becomes(thinking, submitted["id"], "RUNNING")
    done = await becomes(thinking, submitted["id"], "SUCCEEDED")
    assert [(one["memory"], one["event"]) for one in done["results"]] == [("User likes green tea", "ADD")]
    assert done["finished_at"]
    assert done["error"] is None
    assert await texts(thinking, user_id="u") == {"User likes green tea"}


async def test_the_preference_of_http_asks_for_the_same(thinking: Replica) -> None:
    answer = await thinking.client.post("/memories", json={"text": TEA}, headers={"Prefer": "wait=1, respond-async"})
    assert answer.status_code == 202
    assert answer.headers["Preference-Applied"] == "respond-async"
    await becomes(thinking, answer.json()["id"], "SUCCEEDED")


async def test_what_no_model_is_needed_for_has_succeeded_at_once(thinking: Replica, llm: ScriptedLLM) -> None:
    verbatim = await submit(thinking, infer=False)
    trivia = await submit(thinking, "thanks")
    assert (verbatim["status"], trivia["status"]) == ("SUCCEEDED", "SUCCEEDED")
    assert [one["memory"] for one in verbatim["results"]] == [TEA]
    assert "inference" not in verbatim["results"][0]
    assert trivia["results"] == []
    assert llm.calls == []


async def test_the_same_key_is_the_same_event_and_stores_once(thinking: Replica, llm: ScriptedLLM) -> None:
    answers = await asyncio.gather(*(submit(thinking, headers=KEY) for _ in range(4)))
    assert len({answer["id"] for answer in answers}) == 1
    done = await becomes(thinking, answers[0]["id"], "SUCCEEDED")
    assert await submit(thinking, headers=KEY) == done
    assert await texts(thinking, user_id="u") == {"User likes green tea"}
    for other in ({"text": "I like black tea", "wait": False}, {"text": TEA, "user_id": "u"}):
        assert (await thinking.client.post("/memories", json=other, headers=KEY)).status_code == 409


async def test_it_survives_the_death_of_who_took_it_and_of_who_carried_it_out(
    fleet: Fleet, llm: ScriptedLLM, dsn: Dsn, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = Inferring.carry_out
    reached = asyncio.Event()

    async def hanging(self: Inferring, *rest: Any, **more: Any) -> Any:
        reached.set()
        await asyncio.Event().wait()

    async with fleet.replica(**settings(llm)) as one:
        monkeypatch.setattr(Inferring, "carry_out", hanging)
        submitted = await submit(one)
        await until("the first has the model's answer", reached.is_set)
    monkeypatch.setattr(Inferring, "carry_out", inner)
    async with fleet.replica(**settings(llm)) as two:
        done = await becomes(two, submitted["id"], "SUCCEEDED")
        assert [one["memory"] for one in done["results"]] == ["User likes green tea"]
        assert await texts(two, user_id="u") == {"User likes green tea"}


async def test_what_cannot_be_read_fails_with_its_reason_keeps_the_text_and_can_be_asked_again(
    thinking: Replica, llm: ScriptedLLM, dsn: Dsn
) -> None:
    llm.answer = lambda _: Reply("no")
    submitted = await submit(thinking)

    async def failed() -> bool:
        due_now(dsn)
        return (await event(thinking, submitted["id"]))["status"] == "FAILED"

    await until("seven attempts are over", failed, 60)
    told = await event(thinking, submitted["id"])
    assert "unreadable" in told["error"]
    assert [(one["memory"], one["inference"]) for one in told["results"]] == [(TEA, "failed")]
    assert await texts(thinking, user_id="u") == {TEA}
    status = (await thinking.client.get("/inferences/status")).json()
    assert (status["pending"], status["parked"]) == (0, 1)
    llm.answer = lambda _: Reply(facts("User likes green tea"))
    synced = (await thinking.client.post("/inferences/sync")).json()
    assert synced["requeued"] == 1
    done = await becomes(thinking, submitted["id"], "SUCCEEDED")
    assert [one["memory"] for one in done["results"]] == ["User likes green tea"]
    assert provenance(dsn, submitted["results"][0]["id"], 2)["inference"] == "done"
    assert (await thinking.client.post("/inferences/sync")).json() == {
        "requeued": 0, "pending": 0, "parked": 0, "last_error": None,
    }  # fmt: skip


async def test_what_was_edited_while_it_was_parked_is_not_asked_about_again(
    thinking: Replica, llm: ScriptedLLM, dsn: Dsn
) -> None:
    llm.answer = lambda _: Reply("no")
    submitted = await submit(thinking)

    async def failed() -> bool:
        due_now(dsn)
        return (await event(thinking, submitted["id"]))["status"] == "FAILED"

    await until("seven attempts are over", failed, 60)
    memory_id = submitted["results"][0]["id"]
    assert (await thinking.client.put(f"/memories/{memory_id}", json={"text": "edited"})).status_code == 200
    asked = len(llm.calls)
    await thinking.client.post("/inferences/sync")
    await becomes(thinking, submitted["id"], "SUCCEEDED")
    assert len(llm.calls) == asked
    assert await texts(thinking, user_id="u") == {"edited"}


CHANGES: dict[str, Callable[[Replica, str], Awaitable[httpx.Response]]] = {
    "deleted": lambda api, memory_id: api.client.delete(f"/memories/{memory_id}"),
    "deleted with its scope": lambda api, _: api.client.delete("/memories", params={"user_id": "u"}),
    "edited": lambda api, memory_id: api.client.put(f"/memories/{memory_id}", json={"text": "edited"}),
    "erased": lambda api, _: api.client.post("/erasures", json={"user_id": "u"}),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_what_is_parked_is_no_lag_and_ends_with_its_message(
    thinking: Replica, llm: ScriptedLLM, dsn: Dsn, change: Callable[[Replica, str], Awaitable[httpx.Response]]
) -> None:
    llm.answer = lambda _: Reply("no")
    submitted = await submit(thinking)

    async def queue() -> tuple[int, int, float]:
        status = (await thinking.client.get("/inferences/status")).json()
        return status["pending"], status["parked"], status["lag_seconds"]

    async def parked() -> bool:
        due_now(dsn)
        return (await queue())[:2] == (0, 1)

    assert (await queue())[2] > 0
    await until("seven attempts are over", parked, 60)
    assert await queue() == (0, 1, 0)
    assert (await change(thinking, submitted["results"][0]["id"])).is_success

    async def ended() -> bool:
        return await queue() == (0, 0, 0)

    await until("nothing is left of it", ended)
    with psycopg.connect(dsn.superuser) as conn:
        assert conn.execute("SELECT count(*) FROM inference_requests").fetchone() == (0,)


async def test_what_is_deleted_during_its_last_attempt_is_not_parked(
    thinking: Replica, llm: ScriptedLLM, dsn: Dsn
) -> None:
    llm.answer = lambda _: Reply(status=503)
    submitted = await submit(thinking)
    await until("the model was found away", lambda: bool(llm.calls))

    async def one_left() -> bool:
        with psycopg.connect(dsn.superuser) as conn:  # what is locked is left alone, as by due_now
            found = conn.execute(
                """UPDATE inferences SET attempts = 6 WHERE (project, id) IN
                   (SELECT project, id FROM inferences WHERE lease IS NULL FOR UPDATE SKIP LOCKED)"""
            )
        return found.rowcount == 1

    await until("one attempt is left", one_left)
    asked = len(llm.calls)
    llm.answer = lambda _: Reply("no", delay=2)

    async def asking() -> bool:
        due_now(dsn)
        return len(llm.calls) > asked

    await until("it is tried for the last time", asking, 60)
    assert (await thinking.client.delete(f"/memories/{submitted['results'][0]['id']}")).status_code == 200
    await becomes(thinking, submitted["id"], "SUCCEEDED")
    status = (await thinking.client.get("/inferences/status")).json()
    assert (status["pending"], status["parked"]) == (0, 0)


async def test_an_add_stays_parked_while_one_of_its_messages_can_be_asked_about(
    thinking: Replica, llm: ScriptedLLM, dsn: Dsn
) -> None:
    llm.answer = lambda _: Reply("no")
    said = [{"role": "user", "content": TEA}, {"role": "user", "content": "I live in Rome"}]
    first, second = await thinking.add(said, user_id="u")

    async def count() -> int:
        due_now(dsn)
        return int((await thinking.client.get("/inferences/status")).json()["parked"])

    async def parked() -> bool:
        return await count() == 1

    await until("seven attempts are over", parked, 60)
    await thinking.client.delete(f"/memories/{first['id']}")
    assert await count() == 1
    kept = await thinking.client.put(f"/memories/{second['id']}", json={"metadata": {"source": "chat"}})
    assert kept.status_code == 200
    assert await count() == 1  # its words are still those that were given up
    with psycopg.connect(dsn.superuser) as conn:
        conn.execute("UPDATE memory_versions SET expires_at = now() WHERE id = %s", (second["id"],))
    assert await retention.expire(thinking.service.database, thinking.service.generation, []) == 1
    assert await count() == 0


async def test_a_batch_is_stored_whole_with_one_embedding_and_an_event_for_each(
    thinking: Replica, llm: ScriptedLLM
) -> None:
    llm.answer = lambda call: Reply(
        facts("User likes green tea" if "green" in call.user.rpartition("New")[2] else "Bob runs")
    )
    before = thinking.embedder.calls
    requests = [
        {"text": TEA, "user_id": "u"},
        {"text": "Bob said: I run", "user_id": "v"},
        {"messages": [{"role": "user", "content": text} for text in ("one", "two")], "user_id": "w", "infer": False},
        {"text": "ok", "user_id": "u"},
    ]
    answer = await thinking.client.post("/memories/batch", json={"requests": requests}, headers=KEY)
    assert answer.status_code == 202, answer.text
    assert thinking.embedder.calls == before + 1
    results = answer.json()["results"]
    assert [len(one["results"]) for one in results] == [1, 1, 2, 0]
    assert [one["status"] for one in results[2:]] == ["SUCCEEDED", "SUCCEEDED"]
    for one in results:
        await becomes(thinking, one["id"], "SUCCEEDED")
    again = await thinking.client.post("/memories/batch", json={"requests": requests}, headers=KEY)
    assert [one["id"] for one in again.json()["results"]] == [one["id"] for one in results]
    assert again.status_code == 200
    assert await texts(thinking, user_id="w") == {"one", "two"}
    assert await texts(thinking, user_id="u") == {"User likes green tea"}


async def test_a_batch_is_all_or_nothing(api: Replica, keyed: MakeKey) -> None:
    good = {"text": "good", "user_id": "u"}
    async with keyed(user_id="u") as bound:
        outside = await bound.post("/memories/batch", json={"requests": [good, {"text": "x", "user_id": "v"}]})
        assert outside.status_code == 403
        for wrong in ({"text": ""}, {"text": "x", "wait": False}, {}):
            assert (await bound.post("/memories/batch", json={"requests": [good, wrong]})).status_code == 400
        api.embedder.fault = ValueError("broken")
        assert (await bound.post("/memories/batch", json={"requests": [good]})).status_code == 500
        api.embedder.fault = None
        assert await texts(api, user_id="u") == set()
        answer = await bound.post("/memories/batch", json={"requests": [good, {"text": "better"}]})
        assert answer.status_code == 200
    assert await texts(api, user_id="u") == {"good", "better"}
    too_many = [{"messages": [{"role": "user", "content": "x"}] * 500, "user_id": "u"}] * 3
    answer = await api.client.post("/memories/batch", json={"requests": too_many})
    assert answer.status_code == 400
    assert "1000 messages" in answer.json()["detail"]


async def test_an_event_is_its_scope_s_alone_and_is_forgotten_in_time(api: Replica, keyed: MakeKey, dsn: Dsn) -> None:
    submitted = await submit(api)
    path = f"/events/{submitted['id']}"
    async with keyed(user_id="v") as other, keyed(projects=["other"]) as stranger, keyed(user_id="u") as own:
        assert (await other.get(path)).status_code == 404
        assert (await stranger.get(path)).status_code == 404
        assert (await own.get(path)).status_code == 200
    with psycopg.connect(dsn.superuser) as conn:
        conn.execute("UPDATE add_events SET created_at = now() - interval '8 days'")
    assert await retention.sweep(api.service.database) == 1
    assert (await api.client.get(path)).status_code == 404
