"""Sending what waits: who waits for whom, what is tried again, and what is set aside."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

import memsys
from memsys.errors import problem
from memsys_mcp.caller import Caller
from memsys_mcp.writequeue import queue as module

from .queueing import ANN, KEY, OWN, Api, Clock, answer, bound, drained, request, start, writes


@pytest.mark.parametrize("error", [memsys.Unreachable("away"), problem(503, b""), answer(503, "not-ready")])
async def test_while_the_service_is_away_everything_stays(tmp_path: Path, error: Exception) -> None:
    api = Api()
    queue = start(tmp_path, api)
    await queue.keep(bound(Caller(KEY)), request("x"))
    api.world["failing"] = error
    for _ in range(3 * module.ATTEMPTS):
        assert not await queue.drain()
    api.world["failing"] = None
    await drained(queue)
    assert api.texts == ["x"]


@pytest.mark.parametrize("status", [400, 401, 403, 409, 413])
async def test_what_the_service_refuses_is_set_aside_with_the_reason_and_holds_up_nothing(
    tmp_path: Path, status: int
) -> None:
    api = Api()
    queue = start(tmp_path, api)
    await queue.keep(bound(Caller(KEY)), request("poison"))
    await queue.keep(bound(Caller(principal=ANN)), request("good"))
    api.world["failing"] = lambda text: problem(status, b"") if text == "poison" else None
    await drained(queue)
    assert api.texts == ["good"]
    parked = (await queue.entries(bound(Caller(KEY)), 100))[0]
    assert parked.parked
    assert parked.request["content"][0]["content"] == "poison", "and can still be read by its writer"


@pytest.mark.parametrize(
    "error",
    [problem(500, b""), answer(502, "embedder-rejected"), answer(503, "too-slow")],
    ids=lambda error: error.type,
)
async def test_what_breaks_the_service_is_tried_seven_times_and_holds_up_nobody_else(
    tmp_path: Path, error: memsys.ProblemError
) -> None:
    api, clock = Api(), Clock()
    queue = start(tmp_path, api, clock=clock)
    await queue.keep(bound(Caller(KEY)), request("breaks it"))
    await queue.keep(bound(Caller(OWN)), request("good"))
    api.world["failing"] = lambda text: error if text == "breaks it" else None
    assert not await queue.drain()
    assert api.texts == ["good"]
    clock.now += module.LONGEST_PAUSE_SECONDS
    api.world["failing"] = error
    for _ in range(module.ATTEMPTS - 2):
        assert not await queue.drain()
        assert not await queue.drain(), "in a while"
        clock.now += module.LONGEST_PAUSE_SECONDS
    await drained(queue)
    assert (await queue.entries(bound(Caller(KEY)), 100))[0].parked


async def test_what_is_held_for_review_is_not_said_to_be_stored(tmp_path: Path) -> None:
    api, review, registry = Api(), "6f1c8b1e-0000-4000-8000-000000000000", CollectorRegistry()
    queue = start(tmp_path, api, registry=registry)
    await queue.keep(bound(Caller(KEY)), request("the password is tr0ub4dor"))
    api.world["answer"] = memsys.AddResults.model_validate({"results": [{"event": "HELD", "review_id": review}]})
    await drained(queue)
    (entry,) = await queue.entries(bound(Caller(KEY)), 100)
    assert entry.parked is not None
    assert f"[review {review}]" in entry.parked
    assert (writes(registry, "stored"), writes(registry, "held")) == (0, 1)


async def test_a_key_s_own_limit_is_waited_for_and_holds_up_nobody_else(tmp_path: Path) -> None:
    api, clock = Api(), Clock()
    queue = start(tmp_path, api, clock=clock)
    await queue.keep(bound(Caller(KEY)), request("limited"))
    await queue.keep(bound(Caller(OWN)), request("good"))
    api.world["failing"] = lambda text: problem(429, b"", retry_after=30) if text == "limited" else None
    assert not await queue.drain()
    assert api.texts == ["good"]
    api.world["failing"] = None
    clock.now += 29
    assert not await queue.drain()
    clock.now += 1
    await drained(queue)
    assert api.texts == ["good", "limited"]
    assert (await queue.entries(bound(Caller(KEY)), 100)) == []


async def test_an_entry_that_is_never_answered_keeps_no_other_caller_s_waiting(tmp_path: Path) -> None:
    api = Api()
    queue = start(tmp_path, api)
    await queue.keep(bound(Caller(KEY)), request("hangs"))
    await queue.keep(bound(Caller(OWN)), request("good"))
    api.world["failing"] = lambda text: memsys.Unreachable("no answer") if text == "hangs" else None
    for _ in range(3):
        assert not await queue.drain()
    assert api.texts == ["good"]


async def test_the_queue_runs_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_WAIT_SECONDS", 0.01)
    api = Api()
    api.world["failing"] = memsys.Unreachable("away")
    queue = start(tmp_path, api)
    task = asyncio.create_task(queue.run())
    await queue.keep(bound(Caller(KEY)), request("x"))
    await asyncio.sleep(0)
    api.world["failing"] = None
    async with asyncio.timeout(5):
        await api.world["stored"].wait()
    task.cancel()
    await asyncio.wait({task})
