"""Several servers on stdio, one for each window of an editor, with one folder for what waits."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import memsys
from memsys_mcp.caller import Caller
from memsys_mcp.writequeue import queue as module
from memsys_mcp.writequeue.file import QueueFile, QueueUnusable

from .queueing import KEY, OWN, Api, Clock, answer, bound, drained, listed, request, start

ME = Caller(KEY)
AWAY = memsys.Unreachable("away")


def test_a_folder_is_shared_by_those_alone_who_say_so(tmp_path: Path) -> None:
    first, second = QueueFile(tmp_path, 1, shared=True), QueueFile(tmp_path, 1, shared=True)
    assert first.salt == second.salt
    first.close()
    with pytest.raises(QueueUnusable, match="in use by another server"):
        QueueFile(tmp_path, 1)
    second.close()
    alone = QueueFile(tmp_path, 1)
    with pytest.raises(QueueUnusable, match="in use by another server"):
        QueueFile(tmp_path, 1, shared=True)
    alone.close()


async def test_what_both_keep_is_sent_once_and_in_order_by_one_of_them(tmp_path: Path) -> None:
    api = Api()
    first, second = start(tmp_path, api, only=ME), start(tmp_path, api, only=ME)
    for number, queue in enumerate((first, second, first, second)):
        assert await queue.keep(bound(ME), request(f"text {number}")) == number + 1
    assert await listed(second, bound(ME)) == [f"text {number}" for number in range(4)]
    api.world["failing"] = AWAY
    assert not await first.drain()
    api.world["failing"] = None
    assert not await second.drain(), "the first has begun, and goes on with it"
    assert api.texts == []
    await drained(first)
    await drained(second)
    assert api.texts == [f"text {number}" for number in range(4)]
    await second.keep(bound(ME), request("later"))
    await drained(second)
    assert api.texts[4:] == ["later"], "who has sent everything holds up nobody"


async def test_where_one_ends_another_sends_what_it_leaves_and_needs_no_call_for_it(tmp_path: Path) -> None:
    api = Api()
    first, second = start(tmp_path, api, only=ME), start(tmp_path, api, only=ME)
    await first.keep(bound(ME), request("left"))
    api.world["failing"] = AWAY
    assert not await first.drain()
    await first.close()
    api.world["failing"] = None
    await drained(second)
    assert api.texts == ["left"]


async def test_one_with_another_key_waits_for_nobody_and_keeps_nobody_waiting(tmp_path: Path) -> None:
    api = Api()
    mine, theirs = start(tmp_path, api, only=ME), start(tmp_path, api, only=Caller(OWN))
    await mine.keep(bound(ME), request("mine"))
    await theirs.keep(bound(Caller(OWN)), request("theirs"))
    api.world["failing"] = lambda text: AWAY if text == "mine" else None
    assert not await mine.drain()
    assert not await theirs.drain(), "the other's are left, and sent by the other"
    assert api.texts == ["theirs"]
    api.world["failing"] = None
    await drained(mine)
    assert api.texts == ["theirs", "mine"]
    assert [options.key for _, options, _ in api.world["added"]] == [OWN, KEY]


async def test_a_pause_after_a_failure_is_kept_by_all(tmp_path: Path) -> None:
    api, clock = Api(), Clock()
    first, second = (start(tmp_path, api, only=ME, clock=clock) for _ in range(2))
    await first.keep(bound(ME), request("breaks it"))
    tried = 0

    def failing(_: str) -> memsys.ProblemError:
        nonlocal tried
        tried += 1
        return answer(500, "internal")

    api.world["failing"] = failing
    for _ in range(3):
        assert not await first.drain()
        assert not await second.drain()
    assert tried == 1
    clock.now += module.LONGEST_PAUSE_SECONDS
    assert not await second.drain()
    assert not await first.drain()
    assert tried == 2


def test_many_that_start_and_write_at_once_lose_nothing(tmp_path: Path) -> None:
    children = []
    for child in range(4):
        if (pid := os.fork()) == 0:
            try:
                file = QueueFile(tmp_path / "queue", 100, shared=True)
                for number in range(5):
                    file.put("o", {}, {}, f"{child}-{number}")
            finally:
                os.kill(os.getpid(), 9)  # no close, no clean-up
        children.append(pid)
    for pid in children:
        os.waitpid(pid, 0)
    assert QueueFile(tmp_path / "queue", 100).counts() == (20, 0)
