"""Waiting and ending of work beside the requests."""

from __future__ import annotations

import asyncio

import pytest

from memsys_api import background


async def test_an_event_ends_the_wait_at_once() -> None:
    event = asyncio.Event()
    waiting = asyncio.create_task(background.wait(event, None))
    event.set()
    await asyncio.wait_for(waiting, 5)


async def test_without_an_event_the_wait_ends_in_time() -> None:
    await asyncio.wait_for(background.wait(asyncio.Event(), 0), 5)


async def test_a_wait_can_be_cancelled() -> None:
    waiting = asyncio.create_task(background.wait(asyncio.Event(), 60))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_what_ends_by_itself_is_waited_for_and_what_does_not_is_cancelled() -> None:
    stopping = asyncio.Event()

    async def obedient() -> None:
        await stopping.wait()

    async def stuck() -> None:
        await asyncio.Event().wait()

    tasks = [asyncio.create_task(obedient()), asyncio.create_task(stuck())]
    await asyncio.sleep(0)
    stopping.set()
    await background.end(tasks, 0.05)
    assert [task.cancelled() for task in tasks] == [False, True]


async def test_nothing_has_ended_already() -> None:
    await background.end([], 60)
