"""From typed arguments to calls of the API, and from its answers to a model's."""

from __future__ import annotations

import uuid
from typing import Any

import httpx

from .playing import playing


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
