"""Adds with a language model that answers: what becomes of facts, contradictions, repetitions and small talk."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import psycopg
import pytest

from memsys_api import metrics
from memsys_api.ports import EmbedderUnavailable
from tests.support.scripted_llm import Call, Reply, ScriptedLLM

from .conftest import Dsn, Fleet, Replica
from .support.parts import MemorySink, WordEmbedder
from .support.waiting import until

KEY = {"Idempotency-Key": "a-key"}


def facts(*entries: dict[str, Any] | str) -> str:
    """An answer of the model."""
    return json.dumps({"memory": [{"text": e} if isinstance(e, str) else e for e in entries]})


def llm_settings(llm: ScriptedLLM, **settings: Any) -> dict[str, Any]:
    return {"LLM_PROVIDER": "openai", "LLM_MODEL": "scripted", "LLM_BASE_URL": llm.openai_url, **settings}


def provenance(dsn: Dsn, memory_id: str, version: int = 1) -> dict[str, Any]:
    with psycopg.connect(dsn.superuser) as conn:
        row = conn.execute(
            "SELECT provenance FROM memory_versions WHERE id = %s AND version = %s", (memory_id, version)
        ).fetchone()
    assert row is not None
    return dict(row[0])


async def texts(api: Replica, **scope: str) -> set[str]:
    """What is remembered now."""
    answer = await api.client.get("/memories", params=scope)
    assert answer.status_code == 200, answer.text
    return {memory["memory"] for memory in answer.json()["results"]}


@pytest.fixture
def llm() -> Iterator[ScriptedLLM]:
    with ScriptedLLM() as server:
        yield server


@pytest.fixture
async def thinking(fleet: Fleet, llm: ScriptedLLM) -> AsyncIterator[Replica]:
    """One replica with a language model and a graph."""
    async with fleet.replica(sink=MemorySink(), **llm_settings(llm)) as replica:
        yield replica


async def test_facts_are_stored_instead_of_what_was_said(thinking: Replica, llm: ScriptedLLM, dsn: Dsn) -> None:
    llm.say(
        facts(
            {
                "text": "User moved to Berlin in March 2026",
                "event_date": "2026-03-01",
                "messages": [0],
                "entities": [{"name": "User", "kind": "person"}, {"name": "Berlin", "kind": "place"}],
                "relations": [{"subject": "User", "predicate": "lives_in", "object": "Berlin"}],
            },
            {"text": "User has a cat named Miso", "messages": [0]},
        )
    )
    said = [{"role": "user", "content": "In March I moved to Berlin with my cat Miso"}]
    added = await thinking.add(said, user_id="u", metadata={"source": "chat"}, timestamp="2026-04-01T00:00:00Z")
    assert [(one["event"], one["memory"]) for one in added] == [
        ("ADD", "User moved to Berlin in March 2026"),
        ("ADD", "User has a cat named Miso"),
    ]
    assert "inference" not in added[0]
    memory = (await thinking.client.get(f"/memories/{added[0]['id']}")).json()
    assert memory["event_time"].startswith("2026-03-01")
    assert memory["metadata"] == {"source": "chat"}
    kept = provenance(dsn, added[0]["id"])
    assert (kept["verbatim"], kept["inference"], kept["grounded"], len(kept["sources"])) == (False, "done", True, 1)
    with psycopg.connect(dsn.superuser) as conn:
        assert conn.execute("SELECT predicate, object_key FROM relations").fetchall() == [("lives_in", "berlin")]
    sink = thinking.sink
    assert sink is not None
    await until("both facts are in the graph", lambda: len(sink.live()) == 2)


async def test_a_contradiction_supersedes_and_the_old_state_stays_in_history(
    thinking: Replica, llm: ScriptedLLM, dsn: Dsn
) -> None:
    llm.say(facts("User works at Shopify as an engineer"))
    (old,) = await thinking.add("I work at Shopify as an engineer", user_id="u", metadata={"a": 1})
    llm.say(facts({"text": "User left Shopify and works at Stripe now", "decision": "supersede", "memory_id": "0"}))
    (new,) = await thinking.add("I left Shopify, I work at Stripe now", user_id="u", metadata={"b": 2})
    assert new == {
        "id": old["id"],
        "memory": "User left Shopify and works at Stripe now",
        "event": "UPDATE",
        "project": "default",
        "version": 2,
        "previous_memory": "User works at Shopify as an engineer",
    }
    assert "User works at Shopify" in llm.calls[-1].user
    history = (await thinking.client.get(f"/memories/{old['id']}/history")).json()
    assert [(one["event"], one["old_memory"]) for one in history] == [
        ("ADD", None),
        ("UPDATE", "User works at Shopify as an engineer"),
    ]
    assert await texts(thinking, user_id="u") == {new["memory"]}
    assert provenance(dsn, old["id"], 2)["supersedes"] == 1
    memory = (await thinking.client.get(f"/memories/{old['id']}")).json()
    assert memory["metadata"] == {"a": 1, "b": 2}


async def test_what_is_known_is_answered_none_and_counted_in_its_provenance(
    thinking: Replica, llm: ScriptedLLM, dsn: Dsn
) -> None:
    llm.say(facts("User likes green tea"))
    (first,) = await thinking.add("I like green tea", user_id="u")
    llm.say(facts({"text": "User likes green tea", "decision": "none", "memory_id": "0"}))
    llm.say(facts("user likes  GREEN tea."))  # the model has not noticed
    for _ in range(2):
        (again,) = await thinking.add("Did I say that I like green tea?", user_id="u")
        assert (again["event"], again["id"], again["memory"], again["version"]) == (
            "NONE", first["id"], "User likes green tea", 1,
        )  # fmt: skip
    assert await texts(thinking, user_id="u") == {"User likes green tea"}
    kept = provenance(dsn, first["id"])
    assert kept["confirmations"] == 2
    assert [len(one["sources"]) for one in kept["confirmed"]] == [1, 1]


async def test_confirmations_are_kept_to_a_bound(thinking: Replica, llm: ScriptedLLM, dsn: Dsn) -> None:
    llm.answer = lambda _: Reply(facts("User likes green tea"))
    (first,) = await thinking.add("I like green tea", user_id="u")
    for _ in range(23):
        await thinking.add("I like green tea", user_id="u")
    kept = provenance(dsn, first["id"])
    assert (kept["confirmations"], len(kept["confirmed"])) == (23, 20)


async def test_small_talk_is_not_stored_and_the_model_is_not_asked(thinking: Replica, llm: ScriptedLLM) -> None:
    assert await thinking.add([{"role": "user", "content": "ok, thanks!"}], user_id="u") == []
    assert llm.calls == []
    assert await texts(thinking, user_id="u") == set()


async def test_without_inference_everything_is_stored_as_it_came(thinking: Replica, llm: ScriptedLLM) -> None:
    for _ in range(2):
        (added,) = await thinking.add("thanks", user_id="u", infer=False)
        assert (added["event"], added["memory"]) == ("ADD", "thanks")
    assert llm.calls == []


async def test_other_scopes_are_neither_shown_nor_taken_for_the_same(thinking: Replica, llm: ScriptedLLM) -> None:
    llm.answer = lambda _: Reply(facts("User likes green tea"))
    ids = set()
    for scope in ({"user_id": "u"}, {"user_id": "v"}, {"user_id": "u", "run_id": "r"}, {"agent_id": "u"}, {}):
        (added,) = await thinking.add("I like green tea", **scope)
        assert added["event"] == "ADD", scope
        assert 'green tea"}' not in llm.calls[-1].user.partition("New Messages")[0]
        ids.add(added["id"])
    assert len(ids) == 5


async def test_instructions_reach_the_model(thinking: Replica, llm: ScriptedLLM) -> None:
    await thinking.add(
        "I like green tea", prompt="Keep drinks only", includes="hot beverages", excludes="cold ones", user_id="u"
    )
    asked = llm.calls[-1].user + llm.calls[-1].system
    for words in ("Keep drinks only", "hot beverages", "cold ones"):
        assert words in asked


async def test_a_lying_model_changes_nothing_that_was_not_spoken_of(thinking: Replica, llm: ScriptedLLM) -> None:
    llm.say(facts("User works at Shopify"))
    (known,) = await thinking.add("I work at Shopify", user_id="u")
    llm.say(
        facts(
            {"text": "Zebras invented quantum trombones", "decision": "supersede", "memory_id": "0"},
            {"text": "User drinks tea", "decision": "supersede", "memory_id": known["id"]},
            {"text": "User drinks tea daily", "decision": "none", "memory_id": "77"},
        )
    )
    answer = await thinking.add("I drink tea daily", user_id="u")
    assert {one["event"] for one in answer} == {"ADD"}
    assert "User works at Shopify" in await texts(thinking, user_id="u")


async def test_the_same_key_is_answered_as_the_first_time(thinking: Replica, llm: ScriptedLLM) -> None:
    llm.say(facts("User works at Shopify"))
    await thinking.add("I work at Shopify", user_id="u")
    llm.say(
        facts(
            {"text": "User works at Stripe, not at Shopify", "decision": "supersede", "memory_id": "0"},
            "User likes tea",
        )
    )
    body = {"messages": "I work at Stripe, not at Shopify, and I like tea", "user_id": "u"}
    first = await thinking.client.post("/memories", json=body, headers=KEY)
    asked = len(llm.calls)
    (updated, _) = first.json()["results"]
    await thinking.client.put(f"/memories/{updated['id']}", json={"text": "User works at home"})
    again = await thinking.client.post("/memories", json=body, headers=KEY)
    assert again.status_code == first.status_code == 200
    assert again.json() == first.json()
    assert [one["event"] for one in again.json()["results"]] == ["UPDATE", "ADD"]
    assert len(llm.calls) == asked


async def test_the_same_fact_said_at_once_to_two_replicas_is_stored_once(
    fleet: Fleet, llm: ScriptedLLM, dsn: Dsn
) -> None:
    llm.answer = lambda _: Reply(facts("User likes green tea"), delay=0.1)
    async with fleet.replica(**llm_settings(llm)) as one, fleet.replica(**llm_settings(llm)) as two:
        answers = await asyncio.gather(*(r.add("I like green tea", user_id="u") for r in (one, two) * 6))
        events = sorted(result["event"] for answer in answers for result in answer)
        assert events == ["ADD"] + ["NONE"] * 11
        assert len({result["id"] for answer in answers for result in answer}) == 1
        assert await texts(one, user_id="u") == {"User likes green tea"}


async def test_of_two_changes_at_once_one_supersedes_and_the_other_stands_beside_it(
    fleet: Fleet, llm: ScriptedLLM, dsn: Dsn
) -> None:
    llm.say(facts("User lives in Rome"))

    def answer(call: Call) -> Reply:
        city = "Paris" if "Paris" in call.user.partition("New Messages")[2] else "Berlin"
        text = f"User lives in {city}, no longer in Rome"
        return Reply(facts({"text": text, "decision": "supersede", "memory_id": "0"}), delay=0.3)

    async with fleet.replica(**llm_settings(llm)) as one, fleet.replica(**llm_settings(llm)) as two:
        (old,) = await one.add("I live in Rome", user_id="u")
        llm.answer = answer
        (paris,), (berlin,) = await asyncio.gather(
            one.add("I live in Paris now, no longer in Rome", user_id="u"),
            two.add("I live in Berlin now, no longer in Rome", user_id="u"),
        )
        events = {paris["event"]: paris, berlin["event"]: berlin}
        assert set(events) == {"ADD", "UPDATE"}
        assert events["UPDATE"]["id"] == old["id"]
        assert old["id"] in provenance(dsn, events["ADD"]["id"])["linked"]
        assert len(await texts(one, user_id="u")) == 2


@pytest.mark.parametrize(
    ("change", "left"),
    [({"method": "DELETE"}, set()), ({"method": "PUT", "json": {"text": "User hates tea"}}, {"User hates tea"})],
)
async def test_a_fact_outlives_the_memory_that_was_found_to_say_it(
    thinking: Replica, llm: ScriptedLLM, change: dict[str, Any], left: set[str]
) -> None:
    llm.say(facts("User likes green tea"))
    (old,) = await thinking.add("I like green tea", user_id="u")
    llm.queue(Reply(facts({"text": "User likes green tea", "decision": "none", "memory_id": "0"}), delay=1))
    asked = len(llm.calls)
    again = asyncio.create_task(thinking.add("As I said, I like green tea", user_id="u"))
    await until("the model is being asked", lambda: len(llm.calls) > asked)
    llm.say(facts("User likes green tea"))
    assert (await thinking.client.request(url=f"/memories/{old['id']}", **change)).status_code == 200
    (added,) = await again
    assert (added["event"], added["memory"]) == ("ADD", "User likes green tea")
    assert await texts(thinking, user_id="u") == {"User likes green tea", *left}


async def test_messages_outlive_the_memory_that_was_found_to_say_them(thinking: Replica, llm: ScriptedLLM) -> None:
    llm.say(facts("User has a cat named Miso"))
    (old,) = await thinking.add("I have a cat, Miso", user_id="u")
    llm.queue(Reply(facts({"text": "User has a cat named Miso", "decision": "none", "memory_id": "0"}), delay=1))
    asked = len(llm.calls)
    body = {"messages": "My cat Miso says hello", "user_id": "u", "wait": False}
    event = (await thinking.client.post("/memories", json=body)).json()
    await until("the model is being asked", lambda: len(llm.calls) > asked)
    llm.say(facts("User has a cat named Miso"))
    await thinking.client.delete(f"/memories/{old['id']}")

    async def ended() -> bool:
        return bool((await thinking.client.get(f"/events/{event['id']}")).json()["finished_at"])

    await until("the add is carried out", ended)
    assert await texts(thinking, user_id="u") == {"User has a cat named Miso"}


async def test_a_fact_outlives_a_memory_of_the_same_words_that_is_deleted_at_the_same_time(
    thinking: Replica, llm: ScriptedLLM, dsn: Dsn
) -> None:
    llm.queue(Reply(facts("User likes green tea"), delay=1))
    slow = asyncio.create_task(thinking.add("I like green tea", user_id="u"))
    await until("the model is being asked", lambda: llm.calls)
    llm.say(facts("User likes green tea"))
    (shown_to_nobody,) = await thinking.add("Green tea is what I like", user_id="u")
    with psycopg.connect(dsn.superuser) as conn, psycopg.connect(dsn.superuser, autocommit=True) as watcher:
        conn.execute("SELECT FROM memory_versions WHERE id = %s FOR UPDATE", (shown_to_nobody["id"],))

        def waiting(count: int) -> bool:
            row = watcher.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            ).fetchone()
            return row == (count,)

        deletion = asyncio.create_task(thinking.client.delete(f"/memories/{shown_to_nobody['id']}"))
        await until("the deletion waits", lambda: waiting(1))
        await until("the confirmation waits behind it", lambda: waiting(2))
    assert (await deletion).status_code == 200
    (added,) = await slow
    assert added["event"] == "ADD"
    assert await texts(thinking, user_id="u") == {"User likes green tea"}


async def test_a_slow_model_holds_up_nobody_else(thinking: Replica, llm: ScriptedLLM) -> None:
    llm.queue(Reply(facts("User likes green tea"), delay=3))
    slow = asyncio.create_task(thinking.add("I like green tea", user_id="u"))
    await until("the model is being asked", lambda: llm.calls)
    answered, lag = 0, 0.0
    loop = asyncio.get_running_loop()
    while not slow.done():
        begun = loop.time()
        await asyncio.sleep(0.01)
        lag = max(lag, loop.time() - begun)
        await texts(thinking, user_id="u")
        answered += 1
    assert (await slow)[0]["event"] == "ADD"
    assert answered > 3
    assert lag < 1.5


async def test_what_an_inference_costs_is_measured(thinking: Replica, llm: ScriptedLLM) -> None:
    def value(name: str, **labels: str) -> float:
        return metrics.REGISTRY.get_sample_value(name, labels) or 0

    before = (
        value("memsys_llm_tokens_total", direction="input"),
        value("memsys_inference_decisions_total", decision="add"),
    )
    llm.say(facts("User likes green tea"))
    await thinking.add("I like green tea", user_id="u")
    after = (
        value("memsys_llm_tokens_total", direction="input"),
        value("memsys_inference_decisions_total", decision="add"),
    )
    assert (after[0] - before[0], after[1] - before[1]) == (100, 1)
    llm.queue(Reply("I would rather not", tokens=(10, 5)), Reply(status=400))
    await thinking.add("I like black tea", user_id="u")
    assert value("memsys_llm_tokens_total", direction="input") - after[0] == 10  # unreadable, and still paid for


async def test_an_embedder_that_fails_after_the_model_stores_nothing(fleet: Fleet, llm: ScriptedLLM) -> None:
    embedder = WordEmbedder()
    async with fleet.replica(embedder=embedder, **llm_settings(llm)) as api:

        def answer(_: Call) -> Reply:
            embedder.fault = EmbedderUnavailable("away")
            return Reply(facts("User likes green tea"))

        llm.answer = answer
        answered = await api.client.post("/memories", json={"messages": "I like green tea", "user_id": "u"})
        assert answered.status_code == 503
        assert await texts(api, user_id="u") == set()
