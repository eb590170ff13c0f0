"""What people say of a memory: kept beside it, found by it, audited, and gone with it."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx
import pytest

import memsys

from .conftest import ADMIN_KEY, Dsn, Fleet, MakeKey, Replica
from .support.dump import holding
from .support.erasing import erase

MARK = "zanzibar"


async def _give(client: httpx.AsyncClient, memory_id: str, feedback: str | None, reason: str | None = None) -> Any:
    body = {"memory_id": memory_id, "feedback": feedback, "feedback_reason": reason}
    answer = await client.post("/v1/feedback/", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_the_newest_word_holds_until_it_is_taken_back(fleet: Fleet) -> None:
    async with fleet.replica() as api, fleet.replica() as other:
        [one] = await api.add("Ana likes tea", user_id="ana")
        url = f"/memories/{one['id']}/feedback"
        assert (await api.client.get(url)).json()["feedback"] is None
        await _give(api.client, one["id"], "POSITIVE")
        await api.client.put(f"/memories/{one['id']}", json={"text": "Ana likes coffee"})
        given = await _give(other.client, one["id"], "VERY_NEGATIVE", "she does not")
        assert (given["id"], given["feedback"], given["feedback_reason"]) == (
            one["id"],
            "VERY_NEGATIVE",
            "she does not",
        )
        kept = (await api.client.get(url)).json()
        assert (kept["feedback"], kept["feedback_reason"], kept["version"]) == ("VERY_NEGATIVE", "she does not", 2)
        assert kept["given_by"] == "admin"
        for _ in range(2):
            assert (await _give(api.client, one["id"], None))["feedback"] is None
        assert (await other.client.get(url)).json()["feedback"] is None


async def test_the_python_client_gives_reads_and_takes_it_back(api: Replica) -> None:
    [one] = await api.add("Ana likes tea")
    async with memsys.AsyncClient("http://api", ADMIN_KEY, transport=api.client._transport) as client:
        await client.give_feedback(one["id"], "NEGATIVE", reason="she does not")
        found = await client.feedback(one["id"])
        assert (found.feedback, found.feedback_reason, found.version) == ("NEGATIVE", "she does not", 1)
        with pytest.raises(memsys.NotFound):
            await client.feedback(uuid4())
        await client.withdraw_feedback(one["id"])
        assert (await client.feedback(one["id"])).feedback is None


async def test_memories_are_filtered_by_it(api: Replica) -> None:
    ids = {text: (await api.add(text))[0]["id"] for text in ("good tea", "bad tea", "dreadful tea", "tea")}
    for text, verdict in (("good tea", "POSITIVE"), ("bad tea", "NEGATIVE"), ("dreadful tea", "VERY_NEGATIVE")):
        await _give(api.client, ids[text], verdict)

    async def found(feedback: Any) -> set[str]:
        return {hit["memory"] for hit in await api.search("tea", filters={"feedback": feedback})}

    assert await found("POSITIVE") == {"good tea"}
    assert await found({"in": ["NEGATIVE", "VERY_NEGATIVE"]}) == {"bad tea", "dreadful tea"}
    assert await found({"ne": "POSITIVE"}) == {"bad tea", "dreadful tea", "tea"}
    assert await found("*") == {"good tea", "bad tea", "dreadful tea"}
    for wrong in ("positive", {"gt": "POSITIVE"}, {"in": ["BAD"]}, 1, None):
        answer = await api.client.post("/search", json={"query": "tea", "filters": {"feedback": wrong}})
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["field"].startswith("filters.feedback")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"feedback": "BAD"}, "feedback"),
        ({"feedback": "positive"}, "feedback"),
        ({"feedback_reason": "because"}, "feedback_reason"),
        ({"feedback": "POSITIVE", "stars": 5}, "stars"),
    ],
)
async def test_what_cannot_be_kept_is_refused_by_name(api: Replica, body: dict[str, Any], field: str) -> None:
    [one] = await api.add("Ana likes tea")
    answer = await api.client.post("/v1/feedback/", json={"memory_id": one["id"], **body})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, field)


async def test_nothing_is_said_of_what_is_not_there_or_out_of_reach(api: Replica, keyed: MakeKey) -> None:
    [one] = await api.add("Ana likes tea", user_id="ana")
    await _give(api.client, one["id"], "POSITIVE", "true")
    async with keyed(user_id="bob") as bob, keyed(projects=["other"]) as other, keyed(rights=["read"]) as reader:
        for client in (bob, other):
            for memory_id in (one["id"], str(uuid4())):
                given = await client.post("/v1/feedback/", json={"memory_id": memory_id, "feedback": "NEGATIVE"})
                assert given.status_code == (await client.get(f"/memories/{memory_id}/feedback")).status_code == 404
        refused = await reader.post("/v1/feedback/", json={"memory_id": one["id"], "feedback": "NEGATIVE"})
        assert refused.status_code == 403
        assert (await reader.get(f"/memories/{one['id']}/feedback")).json()["feedback"] == "POSITIVE"


async def test_it_is_audited_without_its_words_held_to_the_policy_and_erased(api: Replica, dsn: Dsn) -> None:
    [one] = await api.add("Ana likes tea", user_id="ana")
    await _give(api.client, one["id"], "NEGATIVE", f"not in {MARK}")
    lines = (await api.client.get("/audit", params={"target": one["id"], "action": "feedback"})).json()["results"]
    assert [line["action"] for line in lines] == ["feedback.created"]
    assert MARK not in str(lines)
    await api.client.put("/policy", json={"quarantine": "refuse"})
    secret = {"memory_id": one["id"], "feedback": "NEGATIVE", "feedback_reason": "the password is Tr0ub4dor-and-3"}
    refused = await api.client.post("/v1/feedback/", json=secret)
    assert (refused.status_code, refused.json()["type"].rpartition("/")[2]) == (400, "quarantined")
    assert holding(dsn.superuser, MARK).keys() == {"feedback"}
    await erase(api, user_id="ana")
    assert holding(dsn.superuser, MARK) == {}
