"""Replicas come and go without anybody noticing, and say what they wait for."""

from __future__ import annotations

import asyncio
import json
from itertools import count
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.integration.support.waiting import until

from .support.rig import DATABASE, Rig, rig

CLIENTS = 16


class _Service:
    """Clients that keep their connections and never try again; new requests go to those that are in it."""

    def __init__(self, running: Rig) -> None:
        self._clients = {replica.name: running.client(replica) for replica in running.replicas}
        self.members = set(self._clients)
        self._turns = count()
        self.acknowledged: list[str] = []
        self.dropped: list[str] = []
        self.waiting: dict[str, int] = dict.fromkeys(self._clients, 0)

    async def write(self, over: asyncio.Event, client: int) -> None:
        """Add one memory after the other until it is over; every one has to be answered, at the first attempt."""
        for number in count():
            if over.is_set():
                return
            names = sorted(self.members)
            name = names[next(self._turns) % len(names)]
            text = f"client {client} said {number}"
            self.waiting[name] += 1
            try:
                answer = await self._clients[name].post("/memories", json={"text": text, "user_id": f"u{client}"})
            except httpx.TransportError as error:
                self.dropped.append(f"{text!r} to {name}: {error!r}")
            else:
                if answer.is_success:
                    self.acknowledged.append(text)
                else:
                    self.dropped.append(f"{text!r} to {name}: {answer.status_code} {answer.text[:200]}")
            finally:
                self.waiting[name] -= 1

    async def close(self) -> None:
        for client in self._clients.values():
            await client.aclose()


@pytest.mark.timeout(240)
async def test_replacing_every_replica_drops_no_request(model: Path, tmp_path: Path) -> None:
    """One after the other leaves the Service, is told to stop with requests in flight, and comes back."""
    async with rig(model, tmp_path, with_graph=False) as running:
        service, over = _Service(running), asyncio.Event()
        writing = [asyncio.create_task(service.write(over, client)) for client in range(CLIENTS)]
        for replica in running.replicas:
            written = len(service.acknowledged)
            await until("clients write", lambda at=written: len(service.acknowledged) > at + 100, 30)
            service.members.discard(replica.name)
            assert await asyncio.to_thread(replica.terminate) == 0
            assert service.waiting[replica.name] == 0, "it ended before it had answered everything"
            kubelet = running.kubelets[replica.name]
            await until(f"{replica.name} is started again", lambda r=replica, k=kubelet: r.running and k.answering, 60)
            await running.ready()
            service.members.add(replica.name)
        over.set()
        await asyncio.gather(*writing)
        await service.close()
        with psycopg.connect(running.superuser) as conn:
            stored = [text for (text,) in conn.execute("SELECT text FROM memory_versions").fetchall()]
        print(f"\n  {len(stored)} memories written while both replicas were replaced")
        assert service.dropped == []
        assert sorted(stored) == sorted(service.acknowledged)


@pytest.mark.timeout(240)
async def test_told_to_stop_it_answers_what_is_in_flight_on_connections_that_are_kept(
    model: Path, tmp_path: Path
) -> None:
    """Nobody takes it out of a Service before: clients learn from its answers that it leaves."""
    async with rig(model, tmp_path, replicas=1, with_graph=False) as running:
        [replica] = running.replicas
        service, over = _Service(running), asyncio.Event()
        writing = [asyncio.create_task(service.write(over, client)) for client in range(CLIENTS)]
        await until("clients write", lambda: len(service.acknowledged) > 100, 30)
        ending = asyncio.create_task(asyncio.to_thread(replica.terminate))
        async with running.client(replica, 5) as probe:
            await until("it says that it leaves", lambda: _says(probe, "/readyz", 503, "leaving"), 5)
            answer = await probe.post("/memories", json={"text": "while it leaves", "user_id": "late"})
            assert (answer.status_code, answer.headers["connection"]) == (200, "close")
        over.set()
        await asyncio.gather(*writing)
        assert await ending == 0
        await service.close()
        assert service.dropped == []


async def _says(client: httpx.AsyncClient, path: str, status: int, text: str) -> bool:
    answer = await client.get(path)
    return answer.status_code == status and text in answer.text


@pytest.mark.timeout(240)
async def test_it_starts_before_its_databases_and_says_what_it_waits_for(model: Path, tmp_path: Path) -> None:
    async with rig(model, tmp_path, replicas=1, with_graph=False) as running:
        [replica] = running.replicas
        where = f"PostgreSQL at {running.nodes['postgres'].address}:{running.postgres.port}"
        async with running.kubelets["postgres"].away():
            await running.kubelets[replica.name].kill()
            await asyncio.wait_for(running.kubelets[replica.name].answering.wait(), 60)
            async with running.client(replica, 5) as client:
                await until(f"it waits for {where}", lambda: _says(client, "/readyz", 503, where), 20)
                answer = await client.post("/memories", json={"text": "too early"})
                assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
                assert where in answer.json()["detail"]
        await running.ready(20)
        said = [json.loads(line) for line in replica.log.read_text().splitlines() if line.startswith("{")]
        assert any(where in line.get("reason", "") for line in said)
        with psycopg.connect(running.postgres.url("postgres", DATABASE)) as conn:
            assert conn.execute("SELECT count(*) FROM memory_versions").fetchone() == (0,)
