"""Facts that are said again, or almost: what is the same, and for how long it is kept then."""

from __future__ import annotations

import asyncio
import unicodedata
from datetime import datetime
from uuid import UUID

import psycopg
import pytest

from memsys_api.inference import fingerprint
from tests.support.scripted_llm import ScriptedLLM

from .conftest import Dsn, Replica
from .support.waiting import until
from .test_inference_flow import facts, llm, provenance, texts, thinking

__all__ = ["llm", "thinking"]


async def test_what_differs_by_a_sign_alone_is_another_fact(thinking: Replica, llm: ScriptedLLM) -> None:
    llm.say(facts("User's blood sugar is < 5 mmol"))
    (old,) = await thinking.add("My blood sugar is < 5 mmol", user_id="u")
    llm.say(facts({"text": "User's blood sugar is > 5 mmol", "decision": "supersede", "memory_id": 0}))
    (new,) = await thinking.add("My blood sugar is > 5 mmol", user_id="u")
    assert (new["event"], new["id"]) == ("UPDATE", old["id"])
    assert await texts(thinking, user_id="u") == {"User's blood sugar is > 5 mmol"}


async def test_a_mark_that_an_earlier_release_left_drops_no_fact(thinking: Replica, llm: ScriptedLLM, dsn: Dsn) -> None:
    llm.say(facts("User's blood sugar is < 5 mmol", "User likes tea"))
    await thinking.add("My blood sugar is < 5 mmol and I like tea", user_id="u")
    with psycopg.connect(dsn.superuser) as conn:
        conn.execute(
            "UPDATE memory_versions SET fingerprint = %s WHERE text LIKE '%%mmol'",
            (fingerprint("User's blood sugar is 5 mmol"),),
        )
    llm.say(facts("User's blood sugar is 5 mmol", "User likes tea."))
    again = await thinking.add("My blood sugar is 5 mmol and I like tea", user_id="u")
    assert [one["event"] for one in again] == ["ADD", "NONE"]


SOON, LATER = "2098-01-01T00:00:00+00:00", "2099-01-01T00:00:00+00:00"


async def _expiry(api: Replica, memory_id: str) -> str | None:
    memory = (await api.client.get(f"/memories/{memory_id}")).json()
    return None if memory["expires_at"] is None else datetime.fromisoformat(memory["expires_at"]).isoformat()


@pytest.mark.parametrize("noticed", [True, False])
@pytest.mark.parametrize(("first", "again", "kept"), [
    (SOON, None, None), (SOON, LATER, LATER), (LATER, SOON, LATER), (None, SOON, None), (SOON, SOON, SOON),
])  # fmt: skip
async def test_what_is_said_again_is_kept_until_the_later_of_both_times(
    thinking: Replica, llm: ScriptedLLM, dsn: Dsn, first: str | None, again: str | None, kept: str | None, noticed: bool
) -> None:
    tea = {"text": "User likes green tea", "entities": [{"name": "Green Tea"}]}
    llm.say(facts(tea))
    (old,) = await thinking.add("I like green tea", user_id="u", expires_at=first)
    llm.say(facts(tea | ({"decision": "none", "memory_id": 0} if noticed else {}), "User likes coffee"))
    (known, _) = await thinking.add("I like green tea, and coffee", user_id="u", expires_at=again)
    version = 1 if kept == first else 2
    assert (known["event"], known["id"], known["version"]) == ("NONE", old["id"], version)
    assert await _expiry(thinking, old["id"]) == kept
    assert provenance(dsn, old["id"], version)["confirmations"] == 1
    with psycopg.connect(dsn.superuser) as conn:
        rows = conn.execute(
            """SELECT e.expires_at, m.expires_at, e.head FROM embeddings_1 e JOIN memory_versions m
               ON m.id = e.memory_id AND m.version = e.version WHERE m.id = %s ORDER BY m.version""",
            (old["id"],),
        ).fetchall()
        mentioned = conn.execute(
            "SELECT count(*) FROM mentions WHERE memory_id = %s AND version = %s AND entity_key = 'green tea'",
            (old["id"], version),
        ).fetchone()
    assert [head for _, _, head in rows] == [False] * (version - 1) + [True]
    assert all(one == other for one, other, _ in rows)
    assert mentioned == (1,)
    sink = thinking.sink
    assert sink is not None
    await until("the graph holds that version", lambda: (UUID(old["id"]), version) in sink.applied)


async def test_what_was_temporary_is_found_after_it_was_said_for_good(thinking: Replica, llm: ScriptedLLM) -> None:
    llm.say(facts("User likes green tea"))
    await thinking.add("I like green tea", user_id="u", ttl_seconds=2)
    llm.say(facts("User likes green tea"))
    await thinking.add("I like green tea", user_id="u")
    await asyncio.sleep(2.1)
    assert await texts(thinking, user_id="u") == {"User likes green tea"}
    (found,) = await thinking.search("green tea", user_id="u")
    assert found["memory"] == "User likes green tea"


@pytest.mark.parametrize(("first", "then", "event"), [
    (None, SOON, "ADD"), (LATER, SOON, "ADD"), (SOON, LATER, "UPDATE"), (SOON, None, "UPDATE"), (SOON, SOON, "UPDATE"),
])  # fmt: skip
async def test_a_fact_that_expires_ends_no_memory_that_outlives_it(
    thinking: Replica, llm: ScriptedLLM, dsn: Dsn, first: str | None, then: str | None, event: str
) -> None:
    llm.say(facts("User lives in Berlin"))
    (home,) = await thinking.add("I live in Berlin", user_id="u", expires_at=first)
    llm.say(facts({"text": "User is in Paris this week", "decision": "supersede", "memory_id": 0}))
    (trip,) = await thinking.add("I am in Paris this week", user_id="u", expires_at=then)
    assert trip["event"] == event
    if event == "ADD":
        assert await texts(thinking, user_id="u") == {"User lives in Berlin", "User is in Paris this week"}
        assert home["id"] in provenance(dsn, trip["id"])["linked"]
    else:
        assert await texts(thinking, user_id="u") == {"User is in Paris this week"}
        assert await _expiry(thinking, home["id"]) == then


async def test_a_fact_is_the_same_in_every_form_of_unicode(thinking: Replica, llm: ScriptedLLM) -> None:
    typed, given = (unicodedata.normalize(form, "Renée likes crème brûlée") for form in ("NFC", "NFD"))
    llm.say(facts(given))
    [old] = await thinking.add("I like crème brûlée", user_id="u")
    llm.say(facts(typed))
    [again] = await thinking.add("I like crème brûlée, I said", user_id="u")
    assert (again["event"], again["id"]) == ("NONE", old["id"])
    assert await texts(thinking, user_id="u") == {given}
    assert (await thinking.search("brûlée", user_id="u", explain=True))[0]["score_parts"]["text"] > 0
