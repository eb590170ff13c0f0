"""Searches with a real graph: what is asked under one name is found under the others."""

from __future__ import annotations

from typing import Any

from ..conftest import Replica
from ..support.waiting import until


async def test_a_question_with_an_alias_finds_what_is_known_of_the_entity(api: Replica) -> None:
    said = [{"role": "user", "name": "Robert Stone", "content": "I collect stamps from Lisbon"}]
    spoken = (await api.add(said, user_id="u"))[0]["id"]
    told = (await api.add("Robert Stone works at Acme Corp.", user_id="u"))[0]["id"]
    await api.add("Bob Stone lives in Bergen.", user_id="u")

    async def found(question: str) -> dict[str, dict[str, Any]]:
        return {one["id"]: one for one in await api.search(question, user_id="u", explain=True)}

    async def is_followed() -> bool:
        answers = await found("Where does Bob Stone work?")
        return "graph" in answers[told]["source"] and "speaker" in answers[spoken]["score_parts"]

    async def is_not() -> bool:
        answers = await found("Where does Bob Stone work?")
        return "graph" not in answers[told]["source"] and "speaker" not in answers[spoken]["score_parts"]

    await until("the graph names what mentions Robert", _named_by_graph(api, "Where is Robert Stone?", told))
    assert await is_not()
    merged = await api.client.post("/entities/merge", json={"from": "bob stone", "into": "robert stone"})
    assert merged.status_code == 200, merged.text
    await until("the question follows the merge", is_followed)
    await api.client.post("/entities/unmerge", json={"from": "bob stone"})
    await until("the question no longer follows", is_not)


def _named_by_graph(api: Replica, question: str, memory_id: str) -> Any:
    async def named() -> bool:
        answers = {one["id"]: one for one in await api.search(question, user_id="u")}
        return "graph" in answers.get(memory_id, {"source": []})["source"]

    return named
