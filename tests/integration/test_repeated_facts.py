"""Facts that are said again, or almost: what is the same, and for how long it is kept then."""

from __future__ import annotations

import psycopg

from memsys_api.inference import fingerprint
from tests.support.scripted_llm import ScriptedLLM

from .conftest import Dsn, Replica
from .test_inference_flow import facts, llm, texts, thinking

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
