"""A reader of the change stream, as a browser's EventSource is one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from .waiting import until

SSE = {"Accept": "text/event-stream"}


@dataclass
class Heard:
    """What came over a stream."""

    events: list[dict[str, Any]] = field(default_factory=list)
    last_id: str = ""
    comments: int = 0
    ended: bool = False


@asynccontextmanager
async def listening(client: httpx.AsyncClient, **request: Any) -> AsyncIterator[Heard]:
    """Read a stream as EventSource does, in the background."""
    heard = Heard()
    headers = SSE | request.pop("headers", {})

    async def read() -> None:
        async with client.stream("GET", "/changes", headers=headers, timeout=None, **request) as answer:
            assert answer.status_code == 200, await answer.aread()
            assert answer.headers["content-type"].startswith("text/event-stream")
            data = event = ""
            async for line in answer.aiter_lines():
                name, _, value = line.partition(": ")
                if line.startswith(":"):
                    heard.comments += 1
                elif name == "id":
                    heard.last_id = value
                elif name == "event":
                    event = value
                elif name == "data":
                    data = value
                elif not line and data:
                    heard.events.append(json.loads(data))
                    assert heard.events[-1]["event"] == event
                    data = event = ""
        heard.ended = True

    task = asyncio.create_task(read())
    try:
        await until("the stream has begun", lambda: heard.comments or task.done())
        if task.done():
            await task
        yield heard
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
