"""What is done again and again goes on, whatever becomes of one time."""

from __future__ import annotations

import asyncio
import logging

import pytest

from memsys_api.quarantine import watch
from memsys_api.store import audit, chores, held
from memsys_api.store.database import DatabaseUnavailable


@pytest.mark.parametrize("error", [DatabaseUnavailable("away"), ValueError("nobody thought of it")])
async def test_a_failure_does_not_end_a_chore(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    again = asyncio.Event()

    async def chore() -> None:
        if not caplog.records:
            raise error
        again.set()

    task = asyncio.create_task(chores.repeat("a chore", chore, 0))
    await asyncio.wait_for(again.wait(), 5)
    task.cancel()
    assert [record.__dict__["chore"] for record in caplog.records] == ["a chore"]


async def test_a_chore_of_every_few_seconds_does_not_repeat_that_the_database_is_away(
    caplog: pytest.LogCaptureFixture,
) -> None:
    again = asyncio.Event()
    times = 0

    async def chore() -> None:
        nonlocal times
        times += 1
        if times > 2:
            again.set()
        raise DatabaseUnavailable("away")

    with caplog.at_level(logging.INFO):
        task = asyncio.create_task(chores.repeat("a chore", chore, 0, put_off=logging.DEBUG))
        await asyncio.wait_for(again.wait(), 5)
    task.cancel()
    assert not caplog.records


async def test_a_chore_ends_when_it_is_told_to_without_waiting_for_its_next_time() -> None:
    over = asyncio.Event()

    async def chore() -> None:
        over.set()

    await asyncio.wait_for(chores.repeat("a chore", chore, 3600, until=over), 5)


@pytest.mark.parametrize("which", ["audit", "quarantine"])
async def test_no_error_of_the_database_ends_what_looks_after_it(which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    again = asyncio.Event()
    times = 0

    async def failing(*_: object) -> int:
        nonlocal times
        times += 1
        if times > 1:
            again.set()
        raise PermissionError("permission denied for table")

    module, name = (audit, "forget") if which == "audit" else (held, "waiting")
    monkeypatch.setattr(module, name, failing)
    monkeypatch.setattr(audit if which == "audit" else watch, "_PERIOD_SECONDS", 0)
    keep = audit.keep("postgresql://", 1) if which == "audit" else watch.keep(None)  # type: ignore[arg-type]
    task = asyncio.create_task(keep)
    await asyncio.wait({task, looked := asyncio.create_task(again.wait())}, timeout=5, return_when="FIRST_COMPLETED")
    assert looked.done(), task
    task.cancel()
