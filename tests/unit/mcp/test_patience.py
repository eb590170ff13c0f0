"""What a slow call waits for: the API while it is alive, and neither the API nor a name server that is silent."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

import memsys
from memsys_mcp.patience import PROBE_SECONDS, Patience

AFTER = 0.1
AWAY = AFTER + PROBE_SECONDS + 0.5


@pytest.fixture
def silent_names(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """No name is resolved until the test is over; what was asked for."""
    asked: list[Any] = []
    over = threading.Event()

    def hang(*arguments: Any, **_: Any) -> Any:
        asked.append(arguments)
        over.wait(20)
        raise socket.gaierror("temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    yield asked
    over.set()


def patience(url: str, transport: httpx.BaseTransport | None = None) -> Patience:
    return Patience(memsys.Client(url, transport=transport), memsys.CircuitBreaker(), AFTER)


async def test_a_call_ends_in_time_where_the_probe_itself_hangs(silent_names: list[Any]):
    asked = patience("http://memory-api.test")
    for longest in (AWAY, AFTER + 0.5):  # and the next one at once: the probe has had its time
        began = time.monotonic()
        with pytest.raises(memsys.Unreachable, match="no sign of life"):
            await asked.wait(asyncio.sleep(60))
        assert time.monotonic() - began < longest
    assert len(silent_names) == 1, "one probe is enough"


async def test_all_who_wait_at_once_share_one_probe(silent_names: list[Any]):
    asked = patience("http://memory-api.test")
    began = time.monotonic()
    ends = await asyncio.gather(*[asked.wait(asyncio.sleep(60)) for _ in range(50)], return_exceptions=True)
    assert all(isinstance(end, memsys.Unreachable) for end in ends)
    assert time.monotonic() - began < AWAY
    assert len(silent_names) == 1


async def test_an_answer_that_comes_while_the_probe_hangs_is_taken_at_once(silent_names: list[Any]):
    began = time.monotonic()
    assert await patience("http://memory-api.test").wait(asyncio.sleep(AFTER + 0.2, "answer")) == "answer"
    assert time.monotonic() - began < AFTER + 0.6
    assert len(silent_names) == 1


async def test_an_api_that_is_alive_is_waited_for_and_asked_now_and_then():
    asked: list[httpx.Request] = []

    def alive(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json={"status": "ok"})

    waiting = patience("http://memory-api.test", httpx.MockTransport(alive))
    answers = await asyncio.gather(*[waiting.wait(asyncio.sleep(1.0, "answer")) for _ in range(10)])
    assert answers == ["answer"] * 10
    assert 1 <= len(asked) <= 3


async def test_a_call_that_fails_by_itself_says_why():
    async def fail() -> None:
        raise memsys.Unauthorized(401)

    with pytest.raises(memsys.Unauthorized):
        await patience("http://memory-api.test").wait(fail())
