"""Facts by people with names: who says what a memory says now, and who may contradict it."""

from __future__ import annotations

import psycopg

from tests.support.scripted_llm import ScriptedLLM

from .conftest import Dsn, Replica
from .test_inference_flow import facts, llm, texts, thinking

__all__ = ["llm", "thinking"]


async def test_what_supersedes_is_said_by_its_own_speaker(thinking: Replica, llm: ScriptedLLM, dsn: Dsn) -> None:
    llm.say(facts("The red car is owned by the speaker"))
    said = {"role": "user", "name": "Anna", "content": "The red car is owned by me"}
    (old,) = await thinking.add([said], agent_id="a")
    llm.say(facts({"text": "The red car was sold to its speaker", "decision": "supersede", "memory_id": 0}))
    said = {"role": "assistant", "name": "Robert", "content": "The red car was sold to me"}
    (new,) = await thinking.add([said], agent_id="a")
    assert (new["event"], new["id"]) == ("UPDATE", old["id"])
    assert (await thinking.client.put(f"/memories/{old['id']}", json={"text": "The car is blue"})).status_code == 200
    with psycopg.connect(dsn.superuser) as conn:
        rows = conn.execute(
            """SELECT role, speaker, lexemes @@ 'anna', lexemes @@ 'robert' FROM memory_versions ORDER BY version"""
        ).fetchall()
    assert rows == [
        ("user", "Anna", True, False),
        ("assistant", "Robert", False, True),
        ("assistant", "Robert", False, True),
    ]


async def test_a_speaker_s_name_is_no_invention_even_if_nobody_says_it(thinking: Replica, llm: ScriptedLLM) -> None:
    llm.say(facts("Anna is the owner"))
    said = {"role": "user", "name": "Anna", "content": "I am the owner"}
    (old,) = await thinking.add([said], agent_id="a")
    llm.say(facts({"text": "Robert is the owner", "decision": "supersede", "memory_id": 0}))
    said = {"role": "user", "name": "Robert", "content": "I am the owner as of today"}
    (new,) = await thinking.add([said], agent_id="a")
    assert (new["event"], new["id"]) == ("UPDATE", old["id"])
    assert await texts(thinking, agent_id="a") == {"Robert is the owner"}
