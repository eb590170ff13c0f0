"""The write queue: nothing lost, nothing twice, nothing under another's name, and no key on the disk."""

from __future__ import annotations

import asyncio
import stat
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry

import memsys
from memsys.errors import problem
from memsys_mcp.caller import Caller
from memsys_mcp.oauth.grants import Grants, Principal
from memsys_mcp.projects import ProjectError
from memsys_mcp.writequeue import file as file_module
from memsys_mcp.writequeue import queue as module
from memsys_mcp.writequeue.file import QueueFile
from memsys_mcp.writequeue.queue import NotKept

from .queueing import ANN, KEY, OWN, Api, bound, drained, listed, on_a_disk_of, request, start, token, writes


async def test_entries_are_sent_once_in_order_as_their_caller(tmp_path: Path) -> None:
    api = Api()
    queue = start(tmp_path, api)
    written = [bound(Caller(KEY)) for _ in range(3)]
    for number, one in enumerate(written):
        assert await queue.keep(one, request(f"text {number}")) == number + 1
    await drained(queue)
    await drained(queue)
    assert api.texts == ["text 0", "text 1", "text 2"]
    for one, (_, options, sent) in zip(written, api.world["added"], strict=True):
        assert (options.key, options.project, options.delegation) == (KEY, "shop", None)
        assert sent["idempotency_key"] == one.idempotency_key
        assert sent["metadata"] == {"n": 1}
    assert await queue.entries(bound(Caller(KEY)), 100) == []


async def test_for_a_token_s_holder_the_server_s_key_is_used_within_the_verified_scope(tmp_path: Path) -> None:
    first = start(tmp_path, Api())
    await first.keep(bound(Caller(principal=ANN)), request("ann's"))
    await first.close()
    api = Api()
    await drained(start(tmp_path, api))  # after a restart too: nothing of Ann's is needed
    options = api.world["added"][0][1]
    assert options.key == OWN
    assert options.delegation == memsys.Delegation("ann", ("shop",), ("read", "write"), user_id="u-1")
    assert options.project == "shop"


async def test_a_write_is_shown_in_its_project_and_for_its_user_alone(tmp_path: Path) -> None:
    queue = start(tmp_path, Api())
    for written in (bound(Caller(KEY), "bank"), bound(token("bank"), "bank"), bound(token("bank", user=None), "bank")):
        assert await queue.keep(written, request("the vault code")) == 1
        assert await listed(queue, written) == ["the vault code"]
    others = [
        bound(Caller(KEY), "shop"),
        bound(Caller(KEY), None),
        bound(token("shop", "read"), "shop"),
        bound(token("*"), "shop"),
        bound(token("bank", user="u-2"), "bank"),
    ]
    for other in others:
        assert await listed(queue, other) == []
    assert await queue.keep(others[0], request("x")) == 1, "what waits elsewhere is not counted either"


async def test_a_token_that_may_only_write_reads_nothing_back(tmp_path: Path) -> None:
    queue = start(tmp_path, Api())
    writer = bound(token("bank", "write"), "bank")
    await queue.keep(writer, request("the vault code"))
    with pytest.raises(memsys.Forbidden, match="does not grant the right to read"):
        await queue.entries(writer, 100)
    assert await listed(queue, bound(token("bank", "read"), "bank")) == ["the vault code"]


async def test_after_a_restart_entries_wait_for_their_key_and_for_no_other(tmp_path: Path) -> None:
    first = start(tmp_path, Api())
    await first.keep(bound(Caller(KEY)), request("mine"))
    await first.close()
    api = Api()
    queue = start(tmp_path, api)
    await drained(queue)
    for other in (Caller(KEY[:-1] + "x"), Caller(OWN), Caller(principal=ANN)):
        queue.recognise(other)
        await drained(queue)
        assert await queue.entries(bound(other), 100) == []
    assert api.texts == []
    queue.recognise(Caller(KEY))
    await drained(queue)
    assert api.texts == ["mine"]
    assert api.world["added"][0][1].key == KEY


async def test_one_caller_s_wait_is_not_another_s(tmp_path: Path) -> None:
    first = start(tmp_path, Api())
    await first.keep(bound(Caller(KEY)), request("waits for its key"))
    await first.close()
    api = Api()
    queue = start(tmp_path, api)
    await queue.keep(bound(Caller(OWN)), request("goes on"))
    await drained(queue)
    assert api.texts == ["goes on"]


async def test_neither_keys_nor_tokens_are_on_the_disk_and_only_the_server_reads_it(tmp_path: Path) -> None:
    folder = tmp_path / "queue"
    queue = start(folder, Api())
    await queue.keep(bound(Caller(KEY)), request("text"))
    await queue.keep(bound(Caller(principal=ANN)), request("text"))
    content = b"".join(file.read_bytes() for file in folder.iterdir())
    for secret in (KEY, KEY[-32:], OWN, OWN[-32:], Caller(KEY).fingerprint):
        assert secret.encode() not in content
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}


async def test_over_the_bound_nothing_is_taken_and_nothing_lost(tmp_path: Path) -> None:
    api = Api()
    queue = start(tmp_path, api, limit=2)
    for text in ("a", "b"):
        await queue.keep(bound(Caller(KEY)), request(text))
    with pytest.raises(NotKept, match="the queue is full"):
        await queue.keep(bound(Caller(KEY)), request("c"))
    await drained(queue)
    assert api.texts == ["a", "b"]
    await queue.keep(bound(Caller(KEY)), request("d"))


async def test_what_a_full_disk_does_not_take_is_said_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_a_disk_of(monkeypatch, 8)
    api, registry = Api(), CollectorRegistry()
    queue = start(tmp_path, api, registry=registry)
    with pytest.raises(NotKept, match="not queued either: the queue's disk is full"):
        await queue.keep(bound(Caller(KEY)), request("x" * 30_000))
    assert writes(registry, "unwritable") == 1
    await queue.keep(bound(Caller(KEY)), request("short"))
    await drained(queue)
    assert api.texts == ["short"]


async def test_an_add_that_is_cancelled_while_it_is_written_harms_no_other_and_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = Api()
    queue = start(tmp_path, api)
    writing, go_on = threading.Event(), threading.Event()

    def slow() -> float:  # called in the midst of the transaction
        writing.set()
        assert go_on.wait(10)
        return time.time()

    monkeypatch.setattr(file_module, "time", SimpleNamespace(time=slow))
    cancelled = asyncio.create_task(queue.keep(bound(Caller(KEY)), request("first")))
    assert await asyncio.to_thread(writing.wait, 10)
    cancelled.cancel()
    await asyncio.wait({cancelled})
    other = asyncio.create_task(queue.keep(bound(Caller(OWN)), request("second")))
    await asyncio.sleep(0)  # it waits for the file from its first step on
    go_on.set()
    assert await other == 1
    await drained(queue)
    assert api.texts == ["first", "second"]


async def test_who_is_not_known_to_be_good_fills_no_disk(tmp_path: Path) -> None:
    queue = start(tmp_path, Api(), knows=False)
    with pytest.raises(NotKept, match="not been seen to be good"):
        await queue.keep(bound(Caller(KEY)), request("x"))
    reader = Principal("https://issuer", "bob", "bob", Grants({"shop": frozenset({"read"})}))
    with pytest.raises(NotKept, match="does not grant the right to write"):
        await queue.keep(bound(Caller(principal=reader)), request("x"))
    with pytest.raises(ProjectError):
        await queue.keep(bound(Caller(principal=reader), "bank"), request("x"))


def _on_disk(folder: Path, text: bytes) -> bool:
    return any(text in file.read_bytes() for file in folder.iterdir())


async def test_what_was_erased_meanwhile_is_dropped_and_leaves_nothing_in_the_file(tmp_path: Path) -> None:
    api = Api()
    queue = start(tmp_path, api)
    before = time.time()
    await queue.keep(bound(Caller(KEY)), request("zebrafinch"))
    assert _on_disk(tmp_path, b"zebrafinch")
    api.world["failing"] = problem(409, b'{"type": "https://memsys.dev/problems/erased", "title": "Erased"}')
    await drained(queue)
    assert await queue.entries(bound(Caller(KEY)), 100) == []
    assert not _on_disk(tmp_path, b"zebrafinch")
    api.world["failing"] = None
    await queue.keep(bound(Caller(KEY)), request("new"))
    await drained(queue)
    accepted_at = api.world["added"][0][2]["accepted_at"]
    assert before <= accepted_at.timestamp() <= time.time()


async def test_nothing_waits_for_longer_than_it_may_also_for_a_key_that_never_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = start(tmp_path, Api())
    await first.keep(bound(Caller(KEY)), request("zebrafinch"))
    await first.close()
    monkeypatch.setattr(module, "FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
    dropped, loop, drop = asyncio.Event(), asyncio.get_running_loop(), QueueFile.drop_older

    def dropping(file: QueueFile, seconds: float) -> int:
        count = drop(file, seconds)
        if count:
            loop.call_soon_threadsafe(dropped.set)
        return count

    monkeypatch.setattr(QueueFile, "drop_older", dropping)
    registry = CollectorRegistry()
    queue = start(tmp_path, Api(), keep=0.5, registry=registry)
    task = asyncio.create_task(queue.run())
    await asyncio.wait_for(dropped.wait(), 20)
    assert await queue.entries(bound(Caller(KEY)), 100) == []
    task.cancel()
    await asyncio.wait({task})
    assert not _on_disk(tmp_path, b"zebrafinch")
    assert writes(registry, "expired") == 1


async def test_keeping_one_more_reads_none_of_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = start(tmp_path, Api())
    await queue.keep(bound(Caller(KEY)), request("first"))

    def read(*_: object) -> None:
        raise AssertionError("an entry was read")

    monkeypatch.setattr(file_module, "Entry", read)
    assert await queue.keep(bound(Caller(KEY)), request("second")) == 2


async def test_an_entry_is_read_by_number_in_its_own_place_alone(tmp_path: Path) -> None:
    queue = start(tmp_path, Api())
    here, elsewhere = bound(Caller(KEY), "bank"), bound(Caller(KEY), "shop")
    await queue.keep(here, request("the vault code"))
    (listed,) = await queue.entries(here, 100)
    assert await queue.entry(here, listed.id) == listed
    assert await queue.entry(elsewhere, listed.id) is None
    assert await queue.counts(elsewhere) == (0, 0)
    with pytest.raises(memsys.Forbidden):
        await queue.entry(bound(token("bank", "write"), "bank"), listed.id)
