"""Users erased while writes about them wait in a queue: nothing of them comes back, and nothing stays in the file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from datetime import timedelta
from functools import partial
from pathlib import Path

import fastmcp
import pytest

import memsys

from ..support.dump import dumped, files_with, holding
from ..support.postgres import Server, create_database, server
from .clients import Session, Target, http
from .conftest import ADMIN_KEY, run_api_on
from .processes import Process, free_port, metrics_of, python_module, wait_until

MARK = "zanzibar"
"""In every text about the user who is erased, and in no other."""
SECONDS = 60


class System:
    """The API and the MCP server, each of which can be ended and started again, and what outlives them."""

    def __init__(self, database: Server, model_dir: Path, folder: Path) -> None:
        self.database = database
        self.queue = folder / "queue"
        self.logs = [folder / "api.log", folder / "mcp.log"]
        self._ports = [free_port(), free_port()]
        self._running: dict[str, ExitStack] = {}
        self._start: dict[str, Callable[[], AbstractContextManager[Process]]] = {
            "api": partial(run_api_on, database, model_dir, self.logs[0], self._ports[0], MEMSYS_MCP_QUEUE_HOURS="48"),
            "mcp": partial(
                python_module,
                "memsys_mcp",
                self.logs[1],
                "/healthz",
                self._ports[1],
                MEMSYS_API_URL=self.url,
                MEMSYS_MCP_WRITE_QUEUE="100",
                MEMSYS_MCP_QUEUE_DIR=str(self.queue),
            ),
        }
        self.mcp: Process

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._ports[0]}"

    @property
    def target(self) -> Target:
        return Target(f"http://127.0.0.1:{self._ports[1]}", self.url, ADMIN_KEY, "default")

    def start(self, part: str) -> None:
        stack = self._running[part] = ExitStack()
        process = stack.enter_context(self._start[part]())
        if part == "mcp":
            self.mcp = process

    def stop(self, part: str) -> None:
        self._running.pop(part).close()

    def close(self) -> None:
        for part in list(self._running):
            self.stop(part)

    def sent(self) -> bool:
        """Whether nothing waits any more."""
        return 'memsys_mcp_queue_items{state="waiting"} 0.0' in metrics_of(self.mcp)

    def counted(self, outcome: str) -> int:
        """Of how many queued writes this has become."""
        found = re.search(rf'memsys_mcp_queue_writes_total\{{outcome="{outcome}"\}} (\d+)', metrics_of(self.mcp))
        return int(found[1]) if found else 0

    def left(self, mark: str) -> dict[str, object]:
        """Where a mark still stands, among all that either of them wrote."""
        url = self.database.url("postgres", "memsys")
        files = [*self.logs, *(file for file in self.queue.iterdir() if file.is_file())]
        found = {
            "tables": holding(url, mark),
            "dump": mark in dumped(self.database, "memsys").lower(),
            "the tables' own files": files_with(url, self.database.data, mark),
            "logs and queue": [file.name for file in files if mark.encode() in file.read_bytes().lower()],
        }
        return {where: what for where, what in found.items() if what}


@pytest.fixture
def system(model_dir: Path, tmp_path: Path) -> Iterator[System]:
    with server() as database:
        create_database(database, "memsys")
        system = System(database, model_dir, tmp_path)
        try:
            system.start("api")
            system.start("mcp")
            yield system
        finally:
            system.close()


async def say(system: System, user: str, *texts: str, queued: bool) -> None:
    async with fastmcp.Client(http(system.target)) as client:
        for text in texts:
            answer = await Session(client).call("add_memory", text=text, user_id=user)
            assert not answer.is_error, answer.text
            assert ("queued" in answer.data) == queued, answer.text


async def queue_while_away(system: System, writes: int = 1) -> None:
    """Ann is known already; then more is said of her, and of Bob, to nobody but the queue."""
    await say(system, "ann", f"Ann was in {MARK}", queued=False)
    system.stop("api")
    await say(system, "ann", *(f"Ann will be in {MARK} again, {n}" for n in range(writes)), queued=True)
    await say(system, "bob", "Bob stays at home", queued=True)
    assert MARK.encode() in (system.queue / "writes.sqlite").read_bytes(), "the test would see nothing"


def erased(client: memsys.Client) -> memsys.Erasure:
    """Ann's erasure, once it has its receipt."""
    begun = client.erase(user_id="ann")
    wait_until(lambda: client.erasure(begun.id).state == "done", "the erasure is done", SECONDS)
    return client.erasure(begun.id)


def said_of(client: memsys.Client, user: str) -> list[str]:
    return [memory.memory for memory in client.list(user_id=user).results]


async def test_what_is_sent_after_the_erasure_is_refused_and_dropped(system: System) -> None:
    await queue_while_away(system)
    system.stop("mcp")
    system.start("api")
    with memsys.Client(system.url, ADMIN_KEY, project="default") as client:
        erasure = erased(client)
        assert erasure.receipt is not None
        (remainder,) = [one for one in erasure.receipt.remains if "MEMSYS_MCP_WRITE_QUEUE" in one.where]
        assert remainder.until == erasure.recorded_before + timedelta(hours=48, minutes=5)
        assert system.left(MARK) == {"logs and queue": ["writes.sqlite"]}, "as the receipt says"
        system.start("mcp")
        async with fastmcp.Client(http(system.target)) as session:  # its key is not on the disk
            await Session(session).call("list_memories")
        wait_until(system.sent, "the queue is sent", SECONDS, system.mcp)
        assert system.counted("erased") == 1
        assert system.left(MARK) == {}
        assert (said_of(client, "ann"), said_of(client, "bob")) == ([], ["Bob stays at home"])
        # Who was forgotten may come back.
        assert erasure.finished_at is not None
        await say(system, "ann", "Ann is new here", queued=False)
        assert said_of(client, "ann") == ["Ann is new here"]


async def test_what_was_sent_before_the_erasure_is_erased_with_the_rest(system: System) -> None:
    await queue_while_away(system)
    system.start("api")
    wait_until(system.sent, "the queue is sent", SECONDS, system.mcp)
    with memsys.Client(system.url, ADMIN_KEY, project="default") as client:
        assert len(said_of(client, "ann")) == 2
        erased(client)
        assert system.left(MARK) == {}
        assert said_of(client, "bob") == ["Bob stays at home"]


async def test_what_is_sent_during_the_erasure_does_not_get_past_it(system: System) -> None:
    writes = 80
    await queue_while_away(system, writes)
    system.start("api")
    with memsys.Client(system.url, ADMIN_KEY, project="default") as client:
        wait_until(lambda: len(said_of(client, "ann")) > 1, "the first of the queue is stored", SECONDS, system.mcp)
        erased(client)
        wait_until(system.sent, "the queue is sent", SECONDS, system.mcp)
        assert system.counted("stored") + system.counted("erased") == writes + 1
        assert system.left(MARK) == {}
        assert said_of(client, "bob") == ["Bob stays at home"]
