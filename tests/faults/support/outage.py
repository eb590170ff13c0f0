"""A graph that is away for longer than a delivery is tried, while memories are written and searched."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from statistics import quantiles

import httpx
import psycopg

from .clients import FIRMS, PEOPLE, PLACES
from .rig import Rig

GIVE_UP_SECONDS = 63.0
"""The waits between a delivery's seven attempts: 1 + 2 + 4 + 8 + 16 + 32."""
_AT_ONCE = 20
_PAUSE_SECONDS = 0.03
_BEFORE_SECONDS = 10


@dataclass
class Searches:
    """How long searches took, in seconds, and those that were not answered."""

    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def percentile(self, percent: int) -> float:
        """In milliseconds."""
        return 1000 * quantiles(self.seconds, n=100)[percent - 1]


@dataclass
class Outage:
    """What was measured."""

    memories: int
    away_seconds: float
    drained_seconds: float
    before: Searches
    away: Searches
    draining: Searches

    def __str__(self) -> str:
        lines = [
            f"{self.memories} memories written while the graph was away for {self.away_seconds:.0f} s; "
            f"all delivered {self.drained_seconds:.1f} s after its return"
        ]
        for when, searches in (("before", self.before), ("away", self.away), ("catching up", self.draining)):
            p50, p95 = searches.percentile(50), searches.percentile(95)
            times = p50 / self.before.percentile(50)
            lines.append(
                f"{when}: {len(searches.seconds)} searches, {len(searches.failures)} failed, "
                f"p50 {p50:.1f} ms ({times:.2f} x), p95 {p95:.1f} ms"
            )
        return "\n".join(lines)


async def outage(rig: Rig, memories: int, seconds: float, drain_seconds: float) -> Outage:
    """Write so many memories while the graph is away for at least so long, and until all are parked.

    The queue then has to be empty ``drain_seconds`` after the graph answers again. Searches are among as many other
    memories, of another user, that were there before: they have the same to do at all times.
    """
    async with rig.client(rig.replicas[0], 60) as client:
        await _write(client, "u", memories)
        await _queue(rig, (0, 0), 300)
        async with _searching(client) as before:
            await asyncio.sleep(_BEFORE_SECONDS)
        kubelet = rig.kubelets["neo4j"]
        async with kubelet.away():
            begun = time.monotonic()
            await _write(client, "v", memories)
            async with _searching(client) as away:
                await _queue(rig, (0, memories), GIVE_UP_SECONDS + 60)
                await asyncio.sleep(max(0, seconds - (time.monotonic() - begun)))
            away_seconds = time.monotonic() - begun
        async with _searching(client) as draining:
            back = time.monotonic()
            await _queue(rig, (0, 0), drain_seconds)
        drained = time.monotonic() - back
    return Outage(memories, away_seconds, drained, before, away, draining)


async def _write(client: httpx.AsyncClient, user: str, memories: int) -> None:
    for first in range(0, memories, _AT_ONCE):
        messages = [{"role": "user", "content": _text(n)} for n in range(first, min(first + _AT_ONCE, memories))]
        (await client.post("/memories", json={"messages": messages, "user_id": user})).raise_for_status()


def _text(number: int) -> str:
    who, where, firm = PEOPLE[number % 5], PLACES[number // 5 % 5], FIRMS[number % 3]
    return f"{who} of {firm} met us in {where} about matter {number}"


@asynccontextmanager
async def _searching(client: httpx.AsyncClient) -> AsyncIterator[Searches]:
    """Ask one question after the other for the length of the block; questions that the graph has a say in."""
    made, over = Searches(), asyncio.Event()

    async def ask() -> None:
        number = 0
        while not over.is_set():
            number += 1
            query = {"query": f"where did we meet {PEOPLE[number % 5]} about matter {number}?", "user_id": "u"}
            begun = time.perf_counter()
            try:
                answer = await client.post("/search", json=query)
            except httpx.TransportError as error:
                made.failures.append(repr(error))
                continue
            made.seconds.append(time.perf_counter() - begun)
            if not answer.is_success or not answer.json()["results"]:
                made.failures.append(f"{answer.status_code} {answer.text[:300]}")
            await asyncio.sleep(_PAUSE_SECONDS)

    asking = asyncio.create_task(ask())
    try:
        yield made
    finally:
        over.set()
        await asking


async def _queue(rig: Rig, expected: tuple[int, int], seconds: float) -> None:
    """Wait until so many deliveries are pending and parked."""
    deadline = time.monotonic() + seconds
    waits = "SELECT count(*) FILTER (WHERE state = 'pending'), count(*) FILTER (WHERE state = 'parked') FROM deliveries"
    async with await psycopg.AsyncConnection.connect(rig.superuser, autocommit=True) as conn:
        while (queue := await (await conn.execute(waits)).fetchone()) != expected:
            if time.monotonic() > deadline:
                raise AssertionError(f"pending and parked deliveries are {queue} after {seconds:g} s, not {expected}")
            await asyncio.sleep(0.1)
