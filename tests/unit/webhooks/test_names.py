"""Names that nobody answers for: they hold up neither each other for long, nor anybody else."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from memsys_api.sinks.webhooks import names
from memsys_api.sinks.webhooks.names import LOOK_UPS, Names


@dataclass
class NameServers:
    """Answer for everything but names that begin with ``hung``, until they are told to."""

    asked: Counter[str] = field(default_factory=Counter)
    back: threading.Event = field(default_factory=threading.Event)

    def look_up(self, host: str, port: int) -> Sequence[str]:
        self.asked[host] += 1
        if host.startswith("hung") and not self.back.wait(10):
            raise OSError("nobody answers")
        if host.startswith("unknown"):
            raise OSError("there is no such name")
        return ["93.184.216.34"]


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServers]:
    monkeypatch.setattr(names, "SECONDS", 0.1)
    servers = NameServers()
    yield servers
    servers.back.set()


async def test_names_that_hang_hold_up_neither_others_nor_the_loop_s_own_resolver(servers: NameServers) -> None:
    resolve = Names(servers.look_up)
    hung = [resolve(f"hung{n}.example", 443) for n in range(LOOK_UPS - 1)]
    for answer in await asyncio.gather(*hung, return_exceptions=True):
        assert "name servers" in str(answer)
    assert await resolve("good.example", 443) == ["93.184.216.34"]
    async with asyncio.timeout(5):
        assert await asyncio.get_running_loop().getaddrinfo("localhost", 5432)


async def test_a_name_has_one_look_up_at_a_time_that_all_wait_for(servers: NameServers) -> None:
    resolve = Names(servers.look_up)
    for _ in range(3):
        asked = [resolve("hung.example", 443) for _ in range(20)]
        assert all(isinstance(answer, OSError) for answer in await asyncio.gather(*asked, return_exceptions=True))
    assert servers.asked["hung.example"] == 1
    asked = [resolve("hung.example", 443) for _ in range(20)]
    servers.back.set()
    assert await asyncio.gather(*asked) == [["93.184.216.34"]] * 20
    assert servers.asked["hung.example"] == 1


async def test_however_many_hang_there_are_so_many_threads_and_they_are_used_again(
    servers: NameServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve = Names(servers.look_up)
    hung = [resolve(f"hung{n}.example", 443) for n in range(3 * LOOK_UPS)]
    await asyncio.gather(*hung, return_exceptions=True)
    assert servers.asked.total() == LOOK_UPS
    assert await resolve("127.0.0.1", 443) == ["127.0.0.1"]  # an address needs nobody's answer
    with pytest.raises(OSError, match="name servers"):
        await resolve("good.example", 443)
    servers.back.set()
    monkeypatch.setattr(names, "SECONDS", 10)
    await asyncio.gather(*(resolve(f"hung{n}.example", 443) for n in range(3 * LOOK_UPS)))
    assert await resolve("good.example", 443) == ["93.184.216.34"]


async def test_a_name_that_failed_slowly_is_left_alone_for_a_while_and_one_that_failed_at_once_is_not(
    servers: NameServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(names.time, "monotonic", lambda: now)

    def slow(host: str, port: int) -> Sequence[str]:
        nonlocal now
        now += 20
        return servers.look_up(host, port)

    resolve = Names(slow)
    for _ in range(3):
        with pytest.raises(OSError, match="no such name"):
            await resolve("unknown.example", 443)
    assert servers.asked["unknown.example"] == 1
    now += 41
    with pytest.raises(OSError, match="no such name"):
        await resolve("unknown.example", 443)
    assert servers.asked["unknown.example"] == 2
    quick = Names(servers.look_up)
    for _ in range(3):
        with pytest.raises(OSError, match="no such name"):
            await quick("unknown.example", 443)
    assert servers.asked["unknown.example"] == 5


@pytest.mark.parametrize("host", ["a..b", ".example.com", "a" * 64 + ".example.com"])
async def test_what_is_no_name_is_an_error_of_the_name(host: str) -> None:
    with pytest.raises(OSError, match="label"):
        await Names()(host, 443)


async def test_the_system_knows_this_machine() -> None:
    assert "127.0.0.1" in await Names()("localhost", 443)
