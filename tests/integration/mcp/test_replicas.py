"""Two replicas behind a proxy: one dies, or all are replaced one after the other, and clients go on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from pathlib import Path

import fastmcp
import pytest
from fastmcp.client.transports import SSETransport

from .balancer import Balancer
from .clients import CLIENTS, Session, Target
from .processes import Process, free_port, python_module, served
from .scripted_api import ScriptedApi

KEY = "msk_any"


@dataclass
class Fleet:
    """Two servers, and the proxy's address."""

    url: str
    balancer: Balancer
    servers: dict[str, Process]
    stack: ExitStack
    api_url: str
    folder: Path

    def start(self, port: int) -> None:
        log = self.folder / f"{port}.log"
        process = self.stack.enter_context(
            python_module("memsys_mcp", log, "/readyz", port, MEMSYS_API_URL=self.api_url)
        )
        self.servers[process.url] = process

    def stop(self, url: str, *, hard: bool) -> None:
        handle = self.servers.pop(url).handle
        handle.kill() if hard else handle.terminate()
        handle.wait(15)

    def target(self) -> Target:
        return Target(self.url, self.api_url, KEY, "alpha")


@pytest.fixture
def fleet(request: pytest.FixtureRequest, scripted: tuple[ScriptedApi, str], tmp_path: Path) -> Iterator[Fleet]:
    _, api_url = scripted
    with ExitStack() as stack:
        ports = [free_port(), free_port()]
        balancer = Balancer([f"http://127.0.0.1:{port}" for port in ports], sticky=request.param)
        found = Fleet(stack.enter_context(served(balancer.app())), balancer, {}, stack, api_url, tmp_path)
        for port in ports:
            found.start(port)
        yield found


@pytest.mark.parametrize("fleet", [False], indirect=True, ids=["by turns"])
@pytest.mark.parametrize("client", ["fastmcp-http", "fastmcp-http-handshake", "official-http"])
async def test_on_http_a_replica_that_dies_between_two_calls_breaks_nothing(fleet: Fleet, client: str) -> None:
    async with CLIENTS[client](fleet.target()) as session:
        for number in range(4):
            assert not (await session.call("add_memory", text=f"text {number}")).is_error
        assert len(set(fleet.balancer.served)) == 2, "both took part"
        fleet.stop(next(iter(fleet.servers)), hard=True)
        for _ in range(4):
            assert len((await session.call("list_memories")).data["results"]) == 4


@pytest.mark.parametrize("fleet", [False], indirect=True, ids=["by turns"])
async def test_a_rolling_restart_is_not_noticed(fleet: Fleet) -> None:
    """Calls go on without a pause while each replica in turn is stopped as Kubernetes does, and replaced."""
    calls, over = 0, asyncio.Event()

    async def use(session: Session) -> None:
        nonlocal calls
        while not over.is_set():
            answer = await session.call("list_memories")
            assert not answer.is_error, answer.text
            calls += 1

    async with AsyncExitStack() as stack:
        sessions = [await stack.enter_async_context(CLIENTS["fastmcp-http"](fleet.target())) for _ in range(3)]
        users = asyncio.gather(*(use(session) for session in sessions))
        for url in list(fleet.servers):
            fleet.balancer.upstreams.remove(url)  # as an endpoint is taken out before its pod ends
            before = calls
            await asyncio.to_thread(fleet.stop, url, hard=False)
            await asyncio.to_thread(fleet.start, int(url.rpartition(":")[2]))
            fleet.balancer.upstreams.append(url)
            assert calls > before, "calls went on meanwhile"
        over.set()
        await users
    assert set(fleet.balancer.served) == set(fleet.servers)


@pytest.mark.parametrize("fleet", [True], indirect=True, ids=["with affinity"])
@pytest.mark.parametrize("client", ["fastmcp-sse", "official-sse"])
async def test_on_sse_a_client_that_lost_its_replica_reconnects_and_goes_on(fleet: Fleet, client: str) -> None:
    with pytest.raises(Exception):  # noqa: B017 - clients put it in different words
        await lose(fleet, client)
    async with CLIENTS[client](fleet.target()) as session:
        listed = await session.call("list_memories")
        assert [item["memory"] for item in listed.data["results"]] == ["before"]
        assert not (await session.call("add_memory", text="after")).is_error
    assert set(fleet.balancer.served[-3:]) == set(fleet.servers), "on the replica that is left"


@pytest.mark.parametrize("fleet", [True], indirect=True, ids=["with affinity"])
async def test_a_fastmcp_client_object_comes_back_on_its_own_connection(fleet: Fleet) -> None:
    """The same client object, entered again: what a long-lived program does."""
    target = fleet.target()
    client = fastmcp.Client(SSETransport(f"{target.mcp_url}/p/alpha/sse", headers=target.headers))
    async with client:
        assert not (await Session(client).call("add_memory", text="before")).is_error
        fleet.stop(fleet.balancer.served[-1], hard=True)
        with pytest.raises(Exception):  # noqa: B017 - how a client says that its session is gone is its own
            async with asyncio.timeout(10):
                await Session(client).call("list_memories")
    async with client:
        assert len((await Session(client).call("list_memories")).data["results"]) == 1


async def lose(fleet: Fleet, client: str) -> None:
    """Use a session, kill its replica, and use it again."""
    async with CLIENTS[client](fleet.target()) as session:
        assert not (await session.call("add_memory", text="before")).is_error
        fleet.stop(fleet.balancer.served[-1], hard=True)
        async with asyncio.timeout(10):
            await session.call("list_memories")
