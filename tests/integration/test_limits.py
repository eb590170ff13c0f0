"""Limits on size, result, cost and time: each is refused with the field that goes past it, or the time that was up."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from memsys_api.ports import Vectors

from .conftest import Dsn, Fleet, Replica
from .support.parts import WordEmbedder

_DEEP: dict[str, Any] = {"n": 1}
for _ in range(11):
    _DEEP = {"NOT": [_DEEP]}

PAST = [
    ("POST", "/memories", {"text": "x" * 32_001}, "text", "32000"),
    ("POST", "/memories", {"messages": [{"role": "user", "content": "x"}] * 501}, "messages", "500"),
    ("POST", "/memories", {"text": "a", "metadata": {"k": "x" * 65_536}}, "metadata", "65536"),
    ("PUT", "/memories/00000000-0000-4000-8000-000000000000", {"metadata": {"k": "x" * 65_536}}, "metadata", "65536"),
    ("POST", "/search", {"query": "x" * 32_001}, "query", "32000"),
    ("POST", "/search", {"query": "a", "top_k": 1_001}, "top_k", "1000"),
    ("GET", "/memories?limit=1001", None, "limit", "1000"),
    ("POST", "/search", {"query": "a", "filters": _DEEP}, "filters.NOT", "deeper than 10"),
    ("POST", "/search", {"query": "a", "filters": {"n": {"in": list(range(201))}}}, "filters.n", "200"),
]


@pytest.mark.parametrize(
    ("method", "path", "body", "field", "limit"), PAST, ids=[f"{m} {p[:15]} {f}" for m, p, _, f, _ in PAST]
)
async def test_what_is_past_a_limit_is_refused_by_field_and_limit(
    api: Replica, method: str, path: str, body: Any, field: str, limit: str
) -> None:
    answer = await api.client.request(method, path, json=body)
    assert answer.status_code == 400, answer.text
    said = [e["message"] for e in answer.json()["errors"] if e["field"].startswith(field)]
    assert said, answer.text
    assert limit in said[0].replace("_", "")


async def test_what_is_just_within_the_limits_is_taken(api: Replica) -> None:
    [added] = await api.add("x " * 16_000, metadata={"k": "x" * 65_000})
    answer = await api.client.post(
        "/search", json={"query": "x", "top_k": 1_000, "filters": {"n": {"in": list(range(199))}}}
    )
    assert answer.status_code == 200, answer.text
    assert len((await api.client.get("/memories", params={"limit": 1000})).json()["results"]) == 1
    assert (await api.client.get(f"/memories/{added['id']}")).json()["metadata"]["k"] == "x" * 65_000


def _ideographs(count: int) -> str:
    """Text of three bytes a character that no compression makes shorter."""
    chosen = random.Random(count)
    return "".join(chr(chosen.randrange(0x4E00, 0x9FFF)) for _ in range(count))


async def test_ids_of_any_script_are_taken_at_their_full_length(api: Replica) -> None:
    ids = {f"{of}_id": _ideographs(256 - n) + "x" * n for n, of in enumerate(("user", "agent", "app", "run"))}
    for text in ("one", "two"):
        await api.add(text, **ids)
    found = (await api.client.get("/memories", params=ids)).json()["results"]
    assert [memory["memory"] for memory in found] == ["two", "one"]


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"thread": _ideographs(700), "turn": 1}, "thread"),
        ({"entities": [{"key": _ideographs(700), "name": "n", "kind": "entity"}]}, "entities.0.key"),
        ({"relations": [{"subject": "a", "predicate": "knows", "object": _ideographs(700)}]}, "relations.0.object"),
    ],
)
async def test_a_line_with_a_name_that_no_index_takes_is_refused_alone(
    api: Replica, said: dict[str, Any], field: str
) -> None:
    lines = [
        {"format": "memsys-export", "version": 1},
        {"id": str(uuid4()), "memory": "good"},
        {"id": str(uuid4()), "memory": "bad", **said},
        {"end": True, "versions": 2},
    ]
    answer = await api.client.post("/import", content="\n".join(map(json.dumps, lines)))
    assert (answer.status_code, answer.json()["imported"]) == (200, 1), answer.text
    (error,) = answer.json()["errors"]
    assert (error["line"], error["field"]) == (3, field)
    assert "2000 bytes" in error["message"]


async def test_what_the_database_cannot_take_is_no_reason_to_try_again(api: Replica, dsn: Dsn) -> None:
    with psycopg.connect(dsn.superuser) as conn:  # stands for any limit that nobody has thought of
        conn.execute("CREATE INDEX too_narrow ON memory_versions (text)")
    answer = await api.client.post("/memories", json={"text": _ideographs(2_000)})
    assert (answer.status_code, answer.json()["type"].rsplit("/", 1)[1]) == (400, "invalid-request"), answer.text
    assert "too_narrow" in answer.json()["detail"]
    assert "Retry-After" not in answer.headers
    assert _ideographs(2_000)[:20] not in answer.text


class _StuckEmbedder(WordEmbedder):
    """Never comes to an end with one text."""

    async def embed(self, texts: Sequence[str]) -> Vectors:
        if "take your time" in texts:
            await asyncio.Event().wait()
        return await super().embed(texts)


async def test_a_request_past_its_time_is_given_up_and_says_so(fleet: Fleet) -> None:
    async with fleet.replica(embedder=_StuckEmbedder(), MEMSYS_REQUEST_TIMEOUT_SECONDS=0.5) as api:
        for path, body in (("/memories", {"text": "take your time"}), ("/search", {"query": "take your time"})):
            answer = await api.client.post(path, json=body)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
            assert answer.json()["type"].endswith("/too-slow")
            assert "0.5 s" in answer.json()["detail"]
        assert (await api.client.get("/memories")).json()["results"] == []
        await api.add("quick")
