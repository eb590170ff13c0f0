"""Whatever is sent, the answer is a problem document that names the field; never a 500, and nothing is stored."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from .conftest import Fleet, Replica

MISSING = "00000000-0000-4000-8000-000000000000"
JSON = {"Content-Type": "application/json"}

BAD_BODIES: list[tuple[str, str, Any, str]] = [
    ("POST", "/memories", {}, "body"),
    ("POST", "/memories", {"messages": []}, "messages"),
    ("POST", "/memories", {"messages": "a", "text": "b"}, "body"),
    ("POST", "/memories", {"messages": "a", "bogus": 1}, "bogus"),
    ("POST", "/memories", {"messages": [{"role": "user"}]}, "messages.0.content"),
    ("POST", "/memories", {"messages": [{"role": "user", "content": "a", "extra": 1}]}, "messages.0.extra"),
    ("POST", "/memories", {"messages": [{"role": "user", "content": "   "}]}, "messages.0.content"),
    ("POST", "/memories", {"messages": [{"role": "user", "content": "x"}] * 501}, "messages"),
    ("POST", "/memories", {"messages": ""}, "messages"),
    ("POST", "/memories", {"messages": "nul \x00 inside"}, "messages"),
    ("POST", "/memories", {"messages": "x" * 32_001}, "messages"),
    ("POST", "/memories", {"messages": 7}, "messages"),
    ("POST", "/memories", {"text": None}, "body"),
    ("POST", "/memories", {"text": "a", "user_id": ""}, "user_id"),
    ("POST", "/memories", {"text": "a", "user_id": "u\x00"}, "user_id"),
    ("POST", "/memories", {"text": "a", "user_id": "x" * 257}, "user_id"),
    ("POST", "/memories", {"text": "a", "user_id": 7}, "user_id"),
    ("POST", "/memories", {"text": "a", "metadata": []}, "metadata"),
    ("POST", "/memories", {"text": "a", "metadata": {"k": "\x00"}}, "metadata"),
    ("POST", "/memories", {"text": "a", "metadata": {"\x00": 1}}, "metadata"),
    ("POST", "/memories", {"text": "a", "metadata": {"k": 2**70}}, "metadata"),
    ("POST", "/memories", {"text": "a", "timestamp": "yesterday"}, "timestamp"),
    ("POST", "/memories", {"text": "a", "timestamp": "2024-01-01T00:00:00"}, "timestamp"),
    ("POST", "/memories", {"text": "a", "infer": "maybe"}, "infer"),
    ("PUT", f"/memories/{MISSING}", {}, "body"),
    ("PUT", f"/memories/{MISSING}", {"text": "a", "data": "b"}, "body"),
    ("PUT", f"/memories/{MISSING}", {"text": "a", "version": 0}, "version"),
    ("PUT", f"/memories/{MISSING}", {"memory": "a"}, "memory"),
    ("POST", "/search", {}, "query"),
    ("POST", "/search", {"query": ""}, "query"),
    ("POST", "/search", {"query": "a", "top_k": 0}, "top_k"),
    ("POST", "/search", {"query": "a", "top_k": 1001}, "top_k"),
    ("POST", "/search", {"query": "a", "threshold": 2}, "threshold"),
    ("POST", "/search", {"query": "a", "limit": 5}, "limit"),
    ("POST", "/search", {"query": "a", "filters": "user_id"}, "filters"),
    ("POST", "/search", {"query": "a", "filters": {"OR": []}}, "filters.OR"),
    ("POST", "/search", {"query": "a", "filters": {"user_id": 5}}, "filters.user_id"),
    ("POST", "/search", {"query": "a", "filters": {"n": {"over": 1}}}, "filters.n.over"),
    ("POST", "/search", {"query": "a", "filters": {"n": "\x00"}}, "filters"),
    ("POST", "/search", {"query": "a", "user_id": "u", "filters": {"user_id": "v"}}, "filters.user_id"),
    ("POST", "/keys", {"name": "k", "projects": []}, "projects"),
    ("POST", "/keys", {"name": "k", "projects": ["Bad Name"]}, "projects.0"),
    ("POST", "/keys", {"name": "k", "projects": ["a"], "default_project": "b"}, "default_project"),
    ("POST", "/keys", {"name": "k", "projects": ["a"], "rights": ["root"]}, "rights.0"),
    ("POST", "/keys", {"name": "k", "projects": ["a"], "expires_at": "2001-01-01T00:00:00Z"}, "expires_at"),
]

BAD_PATHS = [
    ("GET", "/memories?limit=0", "limit"),
    ("GET", "/memories?limit=1001", "limit"),
    ("GET", "/memories?limit=many", "limit"),
    ("GET", "/memories?cursor=abc", "cursor"),
    ("GET", "/memories?cursor=c%00", "cursor"),
    ("GET", "/memories?user=u", "user"),
    ("GET", "/memories?user_id=%00", "user_id"),
    ("GET", "/memories/not-an-id", "memory_id"),
    ("DELETE", "/memories?everything=true", "everything"),
    ("DELETE", "/memories", "user_id"),
    ("GET", "/graph/drift?ranges=0", "ranges"),
    ("POST", "/graph/sync?memory_id=x", "memory_id"),
    ("GET", "/entities?query=%00", "query"),
    ("GET", "/entities?cursor=%00", "cursor"),
    ("GET", "/graph/entities/a%00/neighbours", "entity_key"),
    ("GET", "/graph/entities/a%00/timeline", "entity_key"),
    ("GET", "/graph/paths?from=a%00&to=b", "from"),
    ("GET", "/graph/paths?from=a&to=b%00", "to"),
]


def _assert_problem(answer: httpx.Response, status: int, field: str | None = None) -> None:
    assert answer.status_code == status, answer.text
    problem = answer.json()
    assert problem["type"].startswith("https://memsys.dev/problems/")
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    if field:
        assert field in [e["field"] for e in problem["errors"]], problem


@pytest.mark.parametrize(("method", "path", "body", "field"), BAD_BODIES)
async def test_a_bad_body_is_refused_by_field(api: Replica, method: str, path: str, body: Any, field: str) -> None:
    _assert_problem(await api.client.request(method, path, json=body), 400, field)
    assert (await api.client.get("/memories")).json()["results"] == []


@pytest.mark.parametrize(("method", "path", "field"), BAD_PATHS)
async def test_a_bad_path_or_query_is_refused_by_field(api: Replica, method: str, path: str, field: str) -> None:
    _assert_problem(await api.client.request(method, path), 400, field)


@pytest.mark.parametrize("content", [
    b"", b"{", b"null", b"[]", b'"text"', b"\xff\xfe", b'{"text": "\xff"}', b'{"text": "\\ud800"}',
    b'{"text": "a", "metadata": {"k": "\\udfff"}}', b'{"text": "a", "metadata": {"k": NaN}}',
    b'{"text": "a", "metadata": {"k": 1e999}}', b"[" * 100_000, b'{"metadata": ' + b'{"a":' * 40 + b"1" + b"}" * 41,
])  # fmt: skip
@pytest.mark.parametrize("headers", [JSON, {"Content-Type": "text/plain"}, {}])
async def test_bytes_that_are_no_request_are_refused(api: Replica, content: bytes, headers: dict[str, str]) -> None:
    for path in ("/memories", "/search", "/keys"):
        _assert_problem(await api.client.post(path, content=content, headers=headers), 400)


async def test_what_is_wrong_with_json_is_said_of_the_body_and_where(api: Replica) -> None:
    answer = await api.client.post("/memories", content=b'{"text": "a" "b"}', headers=JSON)
    _assert_problem(answer, 400)
    assert answer.json()["errors"] == [
        {"field": "body", "message": "is not JSON: Expecting ',' delimiter (character 13); must be a JSON object"}
    ]


async def test_unicode_of_every_kind_comes_back_as_it_was(api: Replica) -> None:
    text = "naïve 茶 🍵 \u202e rtl \ufeff bom \U0010ffff \x01\x7f e\u0301"
    [added] = await api.add(text, user_id="üser/…%00", metadata={"ключ": text})
    memory = (await api.client.get(f"/memories/{added['id']}")).json()
    assert (memory["memory"], memory["metadata"]) == (text, {"ключ": text})
    assert len((await api.client.get("/memories", params={"user_id": "üser/…%00"})).json()["results"]) == 1
    await api.search(text)


async def test_of_fields_at_fault_the_first_hundred_are_named(api: Replica) -> None:
    answer = await api.client.post("/memories", json={f"f{n}": 1 for n in range(1_000)})
    _assert_problem(answer, 400)
    named = [error["field"] for error in answer.json()["errors"]]
    assert len(named) == 100
    assert set(named) < {f"f{n}" for n in range(1_000)} | {"body"}


async def test_a_body_too_large_is_refused_announced_or_not(fleet: Fleet) -> None:
    async def chunks() -> Any:
        for _ in range(40):
            yield b" " * 1024

    async with fleet.replica(MEMSYS_MAX_BODY_BYTES=16_384) as api:
        _assert_problem(await api.client.post("/memories", content=b" " * 20_000, headers=JSON), 413)
        _assert_problem(await api.client.post("/memories", content=chunks(), headers=JSON), 413)

        async def small() -> Any:
            yield b'{"text": '
            yield b'"in pieces"}'

        answer = await api.client.post("/memories", content=small(), headers=JSON)
        assert answer.json()["results"][0]["memory"] == "in pieces"


async def test_what_is_not_there_is_a_problem_too(api: Replica) -> None:
    _assert_problem(await api.client.get("/nowhere"), 404)
    _assert_problem(await api.client.get("/memories/"), 404)
    _assert_problem(await api.client.patch("/memories"), 405)
    assert "allow" in (await api.client.patch("/memories")).headers


async def test_problems_are_served_as_each_kind_of_client_expects(api: Replica) -> None:
    assert (await api.client.get("/memories?x=1")).headers["content-type"] == "application/json"
    assert (await api.client.post("/search", json={})).headers["content-type"] == "application/json"
    assert (await api.client.post("/keys", json={})).headers["content-type"] == "application/problem+json"
