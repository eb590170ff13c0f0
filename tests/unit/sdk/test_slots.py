"""More callers than connections: each waits for one, none is lost for good, and whoever waits in vain is told."""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

import memsys

ONCE = memsys.RetryPolicy(attempts=1)
UNDER_WAY = "exports and imports are under way"


@dataclass
class Service:
    """Answers everything, or nothing while it is silent."""

    url: str = ""
    silent: threading.Event = field(default_factory=threading.Event)
    seconds: float = 0.0
    """How long an answer takes."""
    at_once: int = 0
    most_at_once: int = 0


@pytest.fixture
def service() -> Iterator[Service]:
    service, lock = Service(), threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            with lock:
                service.at_once += 1
                service.most_at_once = max(service.most_at_once, service.at_once)
            time.sleep(service.seconds)
            with lock:
                service.at_once -= 1
            if service.silent.is_set():
                while service.silent.is_set():
                    time.sleep(0.01)
                self.close_connection = True
                return
            content = json.dumps({"version": "1"}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 500

        def handle_error(self, *_: Any) -> None:
            """Callers that did not wait are what these tests are about."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    service.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield service
    service.silent.clear()
    server.shutdown()
    server.server_close()
    thread.join(timeout=5)


def patient() -> memsys.CircuitBreaker:
    """A breaker that stays closed: here connections are to give out, not patience."""
    return memsys.CircuitBreaker(threshold=1_000_000)


async def test_callers_who_give_up_in_an_outage_take_no_connection_with_them(service: Service):
    async with memsys.AsyncClient(service.url, max_connections=4, retry=ONCE, breaker=patient()) as client:
        service.silent.set()
        end = time.monotonic() + 1

        async def give_up() -> None:
            while time.monotonic() < end:
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(client.info(), random.uniform(0.01, 0.05))

        await asyncio.gather(*[give_up() for _ in range(30)])
        service.silent.clear()
        answers = await asyncio.gather(*[client.info() for _ in range(20)])
    assert [answer.version for answer in answers] == ["1"] * 20


def test_nor_do_threads_whose_time_runs_out(service: Service):
    with memsys.Client(service.url, max_connections=4, retry=ONCE, breaker=patient()) as client:
        service.silent.set()
        end = time.monotonic() + 2

        def work() -> None:
            while time.monotonic() < end:
                seconds = random.uniform(0.01, 0.05)
                with pytest.raises(memsys.Unreachable):
                    client.with_options(timeout=seconds, budget=seconds).info()

        _in_threads(work, 30)
        service.silent.clear()
        versions: list[str] = []
        _in_threads(lambda: versions.append(client.info().version), 20)
    assert versions == ["1"] * 20


def test_threads_share_no_more_connections_than_there_are(service: Service):
    service.seconds = 0.02
    with memsys.Client(service.url, max_connections=3) as client:
        _in_threads(lambda: client.with_options(project="shop").info(), 20)
    assert service.most_at_once == 3


async def test_nor_do_tasks_whatever_options_they_call_with(service: Service):
    service.seconds = 0.02
    async with memsys.AsyncClient(service.url, max_connections=3) as client:
        await asyncio.gather(*[client.with_options(project=f"p{n}").info() for n in range(20)])
    assert service.most_at_once == 3


async def test_who_gets_no_connection_is_told_so_and_no_breaker_opens(service: Service):
    service.silent.set()
    breaker = memsys.CircuitBreaker(threshold=1)
    async with memsys.AsyncClient(service.url, max_connections=1, retry=ONCE, breaker=breaker) as client:
        held = asyncio.create_task(client.with_options(timeout=30).info())
        await asyncio.sleep(0.1)
        with pytest.raises(memsys.Unreachable, match=r"no free connection in time: all 1 of .* \(PoolTimeout\)"):
            await client.with_options(timeout=0.1, budget=0.1).info()
        assert not breaker.is_open, "it says nothing about the service"
        service.silent.clear()
        held.cancel()
    with memsys.Client(service.url, max_connections=1, retry=ONCE, breaker=breaker) as blocking:
        export = blocking.export()
        next(export)
        with pytest.raises(memsys.Unreachable, match=r"no free connection in time: all 1 of .* \(PoolTimeout\)"):
            blocking.with_options(timeout=0.1, budget=0.1).info()
        assert not breaker.is_open


def test_exports_leave_connections_to_calls_and_one_too_many_is_told_what_it_waited_for(service: Service):
    with memsys.Client(service.url, max_connections=4) as client:
        hurried = client.with_options(budget=0.1)
        reading = [client.export() for _ in range(2)]
        assert all(next(export) for export in reading)
        assert client.info().version == "1"
        with pytest.raises(memsys.Unreachable, match=rf"^GET /export: .*: 2 {UNDER_WAY}"):
            next(hurried.export())
        with pytest.raises(memsys.Unreachable, match=rf"^POST /import: .*: 2 {UNDER_WAY}"):
            hurried.import_lines(b"{}")
        reading[0].close()
        assert next(hurried.export())


async def test_so_they_do_in_the_asynchronous_client(service: Service):
    async with memsys.AsyncClient(service.url, max_connections=4) as client:
        hurried = client.with_options(budget=0.1)
        reading = [client.export() for _ in range(2)]
        assert all([await anext(export) for export in reading])
        assert (await client.info()).version == "1"
        with pytest.raises(memsys.Unreachable, match=rf"^GET /export: .*: 2 {UNDER_WAY}"):
            await anext(hurried.export())
        with pytest.raises(memsys.Unreachable, match=rf"^POST /import: .*: 2 {UNDER_WAY}"):
            await hurried.import_lines(b"{}")
        async for _ in reading[0]:
            pass
        assert [chunk async for chunk in hurried.export()]


def test_a_client_that_is_made_outside_of_a_loop_serves_one_loop_after_the_other():
    async def answer(_: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0.001)
        return httpx.Response(200, json={"version": "1"})

    client = memsys.AsyncClient("http://service", max_connections=2, transport=httpx.MockTransport(answer))

    async def many() -> int:
        return len(await asyncio.gather(*[client.info() for _ in range(10)]))

    assert [asyncio.run(many()) for _ in range(2)] == [10, 10]


@pytest.mark.parametrize("kind", [memsys.Client, memsys.AsyncClient])
def test_a_client_without_connections_is_refused(kind: type[memsys.Client] | type[memsys.AsyncClient]):
    with pytest.raises(ValueError, match="max_connections must be at least 1"):
        kind("http://service", max_connections=0)


def _in_threads(work: Any, number: int) -> None:
    threads = [threading.Thread(target=work) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert not any(thread.is_alive() for thread in threads)
