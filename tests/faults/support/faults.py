"""What goes wrong, in an order drawn from a seed, and how long the API needs afterwards."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import psycopg

from tests.support.neo4j_server import Neo4jServer

from .liveness import alive
from .replica import Replica
from .rig import Rig

RECOVERY_SECONDS = 5.0
_MEASURED_FOR = 15.0
_PROBE_EVERY = 0.1
_PROBES, _PROBE_PAUSE_SECONDS = 3, 1.0
_BETWEEN_SECONDS = (0.5, 1.5)
_LASTS_SECONDS = (1.5, 4.0)


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong for so many seconds. ``kill`` lasts until the server is started again."""

    kind: str
    target: str
    seconds: float

    def __str__(self) -> str:
        return f"{self.kind} {self.target}"


_FIRST = [("kill", "api-0"), ("kill", "api-1")]
_THEN = [
    ("kill", "postgres"),
    ("kill", "neo4j"),
    ("pause", "postgres"),
    ("pause", "neo4j"),
    ("pause", "api-0"),
    ("unplug", "postgres"),
    ("unplug", "neo4j"),
    ("unplug", "api-1"),
    ("part", "api-0/postgres"),
    ("part", "api-1/neo4j"),
    ("fill the disk of", "postgres"),
    ("fill the disk of", "neo4j"),
]


def faults(seed: int) -> Iterator[Fault]:
    """Every kind once, in an order of its own, over and over.

    The replicas are killed at the beginning alone: how much memory they hold is watched for the rest of their lives.
    """
    draw = random.Random(seed)
    ahead = list(_FIRST)
    draw.shuffle(ahead)
    while True:
        rest = list(_THEN)
        draw.shuffle(rest)
        for kind, target in ahead + rest:
            yield Fault(kind, target, draw.uniform(*_LASTS_SECONDS))
        ahead = []


@dataclass(frozen=True)
class Recovery:
    """How long a replica needed to read again after its database was back."""

    fault: Fault
    replica: str
    seconds: float


async def _fails_its_probe(server: Neo4jServer) -> bool:
    """Whether a server that runs fails its probe again and again, which has Kubernetes start a new one."""
    for _ in range(_PROBES):
        if not server.running or await asyncio.to_thread(alive, server):
            return False
        await asyncio.sleep(_PROBE_PAUSE_SECONDS)
    return True


class Mischief:
    """Makes things go wrong and right again."""

    def __init__(self, rig: Rig, seed: int) -> None:
        self._rig = rig
        self._plan = faults(seed)
        self._pauses = random.Random(f"{seed}/pauses")
        self.done: list[Fault] = []
        self.recoveries: list[Recovery] = []

    async def make(self, seconds: float) -> None:
        """One fault after the other for so long, and until every kind was there."""
        until = time.monotonic() + seconds
        while time.monotonic() < until or len(self.done) < len(_FIRST) + len(_THEN):
            fault = next(self._plan)
            print(f"  {time.strftime('%T')} {fault}, {fault.seconds:.1f} s", flush=True)
            await self._carry_out(fault)
            self.done.append(fault)
            if "postgres" in fault.target:
                affected = [api for api in self._rig.replicas if "/" not in fault.target or api.name in fault.target]
                self.recoveries += await asyncio.gather(*(self._recovery(fault, api) for api in affected))
            await asyncio.sleep(self._pauses.uniform(*_BETWEEN_SECONDS))

    async def _carry_out(self, fault: Fault) -> None:
        """Returns when what was wrong is right again, as far as the server itself goes."""
        rig, kind = self._rig, fault.kind
        if kind == "kill":
            kubelet = rig.kubelets[fault.target]
            await kubelet.kill()
            if fault.target != "neo4j":  # which takes long to start: the rest goes on meanwhile
                await asyncio.wait_for(kubelet.answering.wait(), 60)
        elif kind == "pause":
            server = {"postgres": rig.postgres, "neo4j": rig.neo4j, **{api.name: api for api in rig.replicas}}[
                fault.target
            ]
            if not server.running:
                return
            server.pause()
            await asyncio.sleep(fault.seconds)
            server.resume()
        elif kind == "unplug":
            with rig.network.unplugged(rig.nodes[fault.target]):
                await asyncio.sleep(fault.seconds)
        elif kind == "part":
            one, other = fault.target.split("/")
            with rig.network.parted(rig.nodes[one], rig.nodes[other]):
                await asyncio.sleep(fault.seconds)
        else:
            with rig.disks[fault.target].filled():
                await asyncio.sleep(fault.seconds)
            if fault.target == "postgres":
                await asyncio.to_thread(self._writable)
            elif rig.neo4j is not None and await _fails_its_probe(rig.neo4j):
                await rig.kubelets["neo4j"].kill()

    def _writable(self) -> None:
        """Wait until PostgreSQL itself can be written to again: a full disk may have ended it."""
        deadline = time.monotonic() + 60
        while True:
            try:
                with psycopg.connect(self._rig.superuser, connect_timeout=2) as conn:
                    conn.execute("CREATE TABLE IF NOT EXISTS probe (); DROP TABLE probe")
                return
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    async def _recovery(self, fault: Fault, replica: Replica) -> Recovery:
        """Ask again and again, without waiting for the answers, until the first one comes."""
        begun = time.monotonic()
        async with self._rig.client(replica, _MEASURED_FOR) as client:

            async def reads() -> float | None:
                try:
                    answered = (await client.get("/memories", params={"limit": 1})).is_success
                except httpx.TransportError:
                    return None
                return time.monotonic() - begun if answered else None

            asked: set[asyncio.Task[float | None]] = set()
            answers: list[float] = []
            while not answers and time.monotonic() < begun + _MEASURED_FOR:
                asked.add(asyncio.create_task(reads()))
                done, asked = await asyncio.wait(asked, timeout=_PROBE_EVERY, return_when=asyncio.FIRST_COMPLETED)
                answers = [seconds for task in done if (seconds := task.result()) is not None]
                if done and not answers:
                    await asyncio.sleep(_PROBE_EVERY)
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
        return Recovery(fault, replica.name, min(answers, default=_MEASURED_FOR))
