"""From typed arguments to calls of the API, and from its answers to a model's."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest

from memsys_mcp.metrics import Metrics

from .playing import playing
from .queueing import Api, drained, start


async def test_what_is_deleted_between_two_pages_makes_no_other_skipped() -> None:
    """The cursor is a place in what there is, as the API's is: it begins after the last memory of its page."""
    memories = {f"m{number}": str(uuid.uuid4()) for number in range(10)}
    asked = 0

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal asked
        asked += 1
        after, limit = request.url.params.get("cursor", ""), int(request.url.params["limit"])
        rest = sorted(name for name in memories if name > after)
        page = [{"id": memories[name], "memory": f"{name} {'w' * 150}"} for name in rest[:limit]]
        if asked % 2:
            memories.pop(rest[0])  # by somebody else, as soon as it has been read
        return httpx.Response(200, json={"results": page, "next_cursor": rest[limit - 1] if rest[limit:] else None})

    listed: list[str] = []
    page: dict[str, Any] | None = None
    async with playing(answer) as client:
        while page is None or "next_cursor" in page:
            cursor = {} if page is None else {"cursor": page["next_cursor"]}
            page = (await client.call_tool("list_memories", {"token_budget": 300, **cursor})).structured_content
            listed += [memory["memory"][:2] for memory in page["results"]]
    assert set(memories) <= set(listed), "what is still there was listed"
    assert len(listed) == len(set(listed))


async def _added(timestamp: object) -> tuple[str | None, str]:
    """When a memory that is added with this happened, as the API is told; and what the model is answered."""
    told: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        told.append(json.loads(request.content)["timestamp"])
        result = {"id": str(uuid.uuid4()), "memory": "released", "event": "ADD"}
        return httpx.Response(200, json={"results": [result]})

    async with playing(answer) as client:
        given = {"text": "released", "timestamp": timestamp}
        answered = await client.call_tool("add_memory", given, raise_on_error=False)
    return (told[0] if told else None), answered.content[0].text


@pytest.mark.parametrize(
    ("given", "means"),
    [
        ("2024-01-15", "2024-01-15T00:00:00Z"),
        ("20240115", "2024-01-15T00:00:00Z"),
        ("20240115T103000Z", "2024-01-15T10:30:00Z"),
        ("2024-01-15T10:30", "2024-01-15T10:30:00Z"),
        ("2024-01-15 10:30:00.5", "2024-01-15T10:30:00.500000Z"),
        ("2024-01-15t10:30:00z", "2024-01-15T10:30:00Z"),
        ("2024-01-15T10:30:00+02:00", "2024-01-15T10:30:00+02:00"),
    ],
)
async def test_a_date_or_time_in_iso_8601_is_when_it_happened(given: str, means: str) -> None:
    told, _ = await _added(given)
    assert told == means


NO_TIMES = ["2024", "202401", "1705312800", "1705312800000", "2010010110000", "1705312800.5", 1705312800, 20240115, 1.5]


@pytest.mark.parametrize("given", [*NO_TIMES, True, "yesterday", "", "2024-13-01", "15.01.2024", ["2024-01-15"]])
async def test_a_number_is_no_time_and_what_to_give_is_said(given: object) -> None:
    told, said = await _added(given)
    assert told is None
    assert "timestamp: " in said
    assert "ISO 8601" in said
    assert "2024-01-15T10:30:00Z" in said
    assert "Correct it and call again" in said


CALLS: list[tuple[str, dict[str, Any]]] = [
    ("add_memory", {"text": "x"}),
    ("search_memories", {"query": "x"}),
    ("list_memories", {}),
    ("update_memory", {"memory_id": str(uuid.uuid4()), "text": "x"}),
    ("delete_memory", {"memory_id": str(uuid.uuid4())}),
]


def _no_route(_: httpx.Request) -> httpx.Response:
    return httpx.Response(404, text="404 page not found")


async def test_where_another_answers_than_the_api_the_address_is_named_and_no_memory_is_missed() -> None:
    metrics = Metrics()
    async with playing(_no_route, url="http://ann:s3cret@memory.example.org/base", metrics=metrics) as client:
        for tool, arguments in CALLS:
            answered = await client.call_tool(tool, arguments, raise_on_error=False)
            said = answered.content[0].text
            assert answered.is_error
            assert "What answers at http://memory.example.org/base is not the memory API" in said
            assert "memory_id" not in said
            assert "s3cret" not in said
        with pytest.raises(Exception, match="is not the memory API"):
            await client.read_resource(f"memory://{uuid.uuid4()}")
    for tool, _ in CALLS:
        assert f'memsys_mcp_tool_calls_total{{outcome="unavailable",tool="{tool}"}} 1.0' in metrics.render().decode()


async def test_what_is_added_where_another_answers_than_the_api_waits_for_the_api(tmp_path: Path) -> None:
    api = Api()
    queue = start(tmp_path, api)
    async with playing(_no_route, queue=queue) as client:
        answered = await client.call_tool("add_memory", {"text": "said on the train"})
    assert answered.content[0].text.startswith("Queued, not yet stored")
    await drained(queue)
    assert api.texts == ["said on the train"]
