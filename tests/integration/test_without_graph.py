"""``GRAPH_STORE=none``: every route about the graph answers, and says plainly where there is nothing to do."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import Fleet, Replica
from .support.parts import MemorySink

TOLD = ("Anna Keller works at Acme Corp.", "Bob Stone works at Acme Corp.", "Robert Stone lives in Lisbon.")

# What answers from PostgreSQL, and therefore the same as with a graph.
QUESTIONS: list[tuple[str, dict[str, Any]]] = [
    ("/entities", {"limit": 3}),
    ("/entities", {"query": "stone"}),
    ("/graph/entities/acme corp/neighbours", {"depth": 2}),
    ("/graph/entities/ACME Corp/timeline", {}),
    ("/graph/paths", {"from": "anna keller", "to": "bob stone"}),
    ("/graph/entities/nobody/neighbours", {}),
]


async def _told(api: Replica) -> None:
    for text in TOLD:
        await api.add(text, user_id="u", timestamp="2026-05-01T12:00:00Z")
    merged = await api.client.post("/entities/merge", json={"from": "robert stone", "into": "bob stone"})
    assert merged.status_code == 200, merged.text


def _content(answer: Any) -> Any:
    """An answer without ids and recorded times, which differ between any two projects."""
    if isinstance(answer, dict):
        own = {"id", "memory_id", "recorded_from", "recorded_to", "created_at", "updated_at", "project", "instance"}
        return {name: _content(value) for name, value in answer.items() if name not in own}
    return sorted(map(_content, answer), key=str) if isinstance(answer, list) else answer


async def test_questions_are_answered_as_with_a_graph(fleet: Fleet) -> None:
    answers = []
    for sink, store in ((None, {}), (MemorySink(), {"GRAPH_STORE": "neo4j", "NEO4J_URI": "bolt://unused:7687",
                                                    "NEO4J_PASSWORD": "unused"})):  # fmt: skip
        async with fleet.replica(sink=sink, **store) as api:
            api.client.headers["X-Memsys-Project"] = f"with-{'a' if sink else 'no'}-graph"
            await _told(api)
            asked = [await api.client.get(path, params=params) for path, params in QUESTIONS]
            answers.append([(one.status_code, _content(one.json())) for one in asked])
    without, with_graph = answers
    assert [status for status, _ in without] == [200] * 5 + [404]
    assert without == with_graph


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/graph/status", {"provider": "none", "available": False, "pending": 0, "parked": 0}),
        ("POST", "/graph/sync", {"applied": 0, "pending": 0, "parked": 0, "requeued": 0, "swept": 0}),
        ("POST", "/graph/sync?sweep=true", {"applied": 0, "swept": 0}),
        ("POST", "/graph/sync?memory_id=00000000-0000-4000-8000-000000000000", {"applied": 0}),
        ("GET", "/graph/drift", {"provider": "none", "checked": 0, "complete": True, "cursor": None}),
        ("GET", "/graph/rebuild", {"results": []}),
    ],
)
async def test_what_tends_a_graph_has_nothing_to_do(
    api: Replica, method: str, path: str, expected: dict[str, Any]
) -> None:
    await _told(api)
    answer = await api.client.request(method, path)
    assert answer.status_code == 200, answer.text
    assert answer.json() | expected == answer.json()


async def test_what_needs_a_graph_names_the_setting(api: Replica) -> None:
    for path, status in (("/graph/rebuild", 501), ("/sinks/graph/sync", 404)):
        refused = await api.client.post(path)
        assert refused.status_code == status, refused.text
        assert refused.json()["type"].startswith("https://memsys.dev/problems/")
    assert (await api.client.get("/sinks")).json() == []


async def test_searches_follow_merges_by_who_spoke(api: Replica) -> None:
    await api.add([{"role": "user", "name": "Robert Stone", "content": "I collect stamps"}], user_id="u")
    await _told(api)
    best, *_ = await api.search("What does Bob Stone collect?", user_id="u", explain=True)
    assert best["memory"] == "I collect stamps"
    assert best["score_parts"]["speaker"] > 0
