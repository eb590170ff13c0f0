"""Work beside the requests: its end is noticed, and it is waited for and ended in time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from typing import Any

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


@pytest.fixture
def lost() -> Iterator[asyncio.Event]:
    """Set when a task was lost."""
    event = asyncio.Event()
    token = background.on_lost.set(event.set)
    yield event
    background.on_lost.reset(token)


async def _return() -> None:
    pass


async def _fail() -> None:
    raise ValueError("nobody thought of it")


async def _cancelled_within() -> None:
    raise asyncio.CancelledError


@pytest.mark.parametrize(
    ("work", "how"),
    [(_return, "returned"), (_fail, "failed"), (_cancelled_within, "cancelled")],
    ids=["returned", "failed", "cancelled"],
)
async def test_a_task_that_ends_without_being_told_to_is_noticed(
    work: Callable[[], Coroutine[Any, Any, None]], how: str, lost: asyncio.Event, caplog: pytest.LogCaptureFixture
) -> None:
    tasks = background.Tasks()
    tasks.start(work(), "a task")
    await asyncio.wait_for(lost.wait(), 5)
    [record] = caplog.records
    assert (record.__dict__["task"], record.__dict__["how"]) == ("a task", how)
    assert ("nobody thought of it" in caplog.text) == (how == "failed")
    await tasks.end()


async def test_a_task_that_is_told_to_stop_is_not_lost_however_it_ends(
    lost: asyncio.Event, caplog: pytest.LogCaptureFixture
) -> None:
    tasks = background.Tasks()

    async def obedient() -> None:
        await tasks.stopping.wait()

    async def failing() -> None:
        await tasks.stopping.wait()
        await _fail()

    async def stuck() -> None:
        await asyncio.Event().wait()

    started = [tasks.start(work(), "a task") for work in (obedient, failing, stuck)]
    await tasks.end(0.05)
    assert all(task.done() for task in started)
    assert not lost.is_set()
    assert not caplog.records


async def test_only_a_finite_task_may_return(lost: asyncio.Event) -> None:
    tasks = background.Tasks()
    await tasks.start(_return(), "a task", finite=True)
    assert not lost.is_set()
    tasks.start(_fail(), "a task", finite=True)
    await asyncio.wait_for(lost.wait(), 5)
    await tasks.end()


async def test_a_task_that_swallows_its_cancellation_is_cancelled_again() -> None:
    async def deaf_once() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.Event().wait()

    tasks = background.Tasks()
    task = tasks.start(deaf_once(), "a task")
    await asyncio.sleep(0)
    await asyncio.wait_for(tasks.end(), 5)
    assert task.cancelled()
