"""Facts by people with names: who says what a memory says now, and who may contradict it."""

from __future__ import annotations

import unicodedata
from typing import Literal

import psycopg
import pytest

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


@pytest.mark.parametrize("form", ["NFC", "NFD"])
async def test_a_speaker_is_known_in_every_form_of_unicode(api: Replica, form: Literal["NFC", "NFD"], dsn: Dsn) -> None:
    name, other = unicodedata.normalize(form, "Zoë"), unicodedata.normalize("NFC" if form == "NFD" else "NFD", "Zoë")
    await api.add([{"role": "user", "name": name, "content": "I live in Berlin"}], user_id="u", infer=False)
    await api.add(f"{name}: I paint", user_id="u", infer=False)
    for asked in (name, other):
        hits = await api.search(f"What does {asked} do?", user_id="u", explain=True)
        assert [{"speaker", "text"} <= set(hit["score_parts"]) for hit in hits] == [True, True], asked
    with psycopg.connect(dsn.superuser) as conn:
        rows = conn.execute("SELECT DISTINCT entity_key FROM mentions ORDER BY 1").fetchall()
        speakers = conn.execute("SELECT speaker, text FROM memory_versions ORDER BY seq").fetchall()
    assert rows == [("berlin",), ("zoë",)]
    assert speakers == [(name, "I live in Berlin"), ("Zoë", f"{name}: I paint")]
