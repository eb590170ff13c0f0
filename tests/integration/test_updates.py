"""Updates that leave a memory's text as it is: what was found out about it stays."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tests.support.scripted_llm import ScriptedLLM

from .conftest import Dsn, Fleet, Replica
from .test_inference_flow import facts, llm, llm_settings, texts, thinking
from .test_quarantine import SUSPECT, policy

__all__ = ["llm", "thinking"]

FACT = {
    "text": "User moved to Berlin in March 2026 to join stripe",
    "messages": [0],
    "entities": [
        {"name": "User", "kind": "person"},
        {"name": "Berlin", "kind": "place"},
        {"name": "stripe", "kind": "organization"},
    ],
    "relations": [{"subject": "User", "predicate": "works_at", "object": "stripe"}],
}


async def known_of(api: Replica, dsn: Dsn, memory_id: str) -> tuple[dict[str, Any], list[Any], list[Any]]:
    """What the current version's provenance says, what it mentions, and what it states."""
    memory = (await api.client.get(f"/memories/{memory_id}")).json()
    of = (memory_id, memory["version"])
    with psycopg.connect(dsn.superuser) as conn:
        mentions = conn.execute(
            "SELECT entity_key FROM mentions WHERE memory_id = %s AND version = %s ORDER BY 1", of
        ).fetchall()
        relations = conn.execute(
            "SELECT subject_key, predicate, object_key FROM relations WHERE memory_id = %s AND version = %s", of
        ).fetchall()
    return memory["provenance"], mentions, relations


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/memories/{}", {"metadata": {"pinned": True}}),
        ("PUT", "/memories/{}", {"ttl_seconds": 3600}),
        ("PUT", "/memories/{}", {"timestamp": "2026-03-02T00:00:00Z"}),
        ("PUT", "/memories/{}", {"text": FACT["text"]}),
        ("PUT", "/v1/memories/{}/", {"metadata": {"pinned": True}}),
    ],
)
async def test_what_a_language_model_found_out_stays(
    thinking: Replica, llm: ScriptedLLM, dsn: Dsn, method: str, path: str, body: dict[str, Any]
) -> None:
    llm.say(facts(FACT))
    (memory,) = await thinking.add("In March 2026 I moved to Berlin to join stripe", user_id="priya")
    before = await known_of(thinking, dsn, memory["id"])
    assert before[2] == [("priya", "works_at", "stripe")]
    answer = await thinking.client.request(method, path.format(memory["id"]), json=body)
    assert answer.status_code == 200, answer.text
    assert (await thinking.client.get(f"/memories/{memory['id']}")).json()["version"] == 2
    assert await known_of(thinking, dsn, memory["id"]) == before
    near = (await thinking.client.get("/graph/entities/stripe/neighbours")).json()
    assert [entity["key"] for entity in near["results"]] == ["priya"]


async def test_relations_that_hold_from_the_event_on_move_with_it(api: Replica) -> None:
    (memory,) = await api.add("Anna works at Acme.", timestamp="2026-03-01T00:00:00Z")
    for moment in ("2026-03-01", "2026-04-01"):
        answer = await api.client.put(f"/memories/{memory['id']}", json={"timestamp": f"{moment}T00:00:00Z"})
        assert answer.status_code == 200, answer.text
        near = (await api.client.get("/graph/entities/anna/neighbours")).json()
        assert [statement["valid_from"][:10] for statement in near["statements"]] == [moment]


async def test_a_message_whose_owner_has_changed_it_waits_for_no_language_model(
    fleet: Fleet, dsn: Dsn, llm: ScriptedLLM
) -> None:
    async with fleet.replica(**llm_settings(llm, LLM_BASE_URL="http://127.0.0.1:9/v1")) as api:
        (memory,) = await api.add("I moved to Berlin", user_id="u")
        await api.client.put(f"/memories/{memory['id']}", json={"metadata": {"pinned": True}})
        provenance, _, _ = await known_of(api, dsn, memory["id"])
        assert "inference" not in provenance
        assert await texts(api, user_id="u") == {"I moved to Berlin"}


async def test_whether_a_memory_is_suspect_is_looked_at_anew(api: Replica, dsn: Dsn) -> None:
    await policy(api, "flag")
    (memory,) = await api.add("the password is elsewhere", metadata={"note": SUSPECT})
    for metadata, marked in (({"note": SUSPECT, "pinned": True}, True), ({"pinned": True}, False)):
        await api.client.put(f"/memories/{memory['id']}", json={"metadata": metadata})
        provenance, _, _ = await known_of(api, dsn, memory["id"])
        assert ("quarantine" in provenance) == marked
