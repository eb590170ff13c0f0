"""Many clients while everything fails in turn: nothing acknowledged is lost, doubled or changed, and all recovers."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import psycopg
import pytest

from .support.clients import Client
from .support.comparison import apart, lost_or_doubled
from .support.faults import RECOVERY_SECONDS, Mischief
from .support.footprint import Footprint
from .support.front import TIMEOUT_SECONDS, Front
from .support.ledger import Ledger, Record
from .support.rig import Rig, rig

CLIENTS = 64
SECONDS = float(os.environ.get("MEMSYS_FAULTS_SECONDS") or 60)
SETTLE_SECONDS = 120.0  # two periods of the operator's reconciler; a killed replica's leases end after one
GROWTH = 1.15
GROWTH_BYTES = 24 << 20
_SEARCHERS = 8


@pytest.mark.timeout(SECONDS + 420)
async def test_nothing_acknowledged_is_lost_while_everything_fails(seed: int, model: Path, tmp_path: Path) -> None:
    print(f"\nMEMSYS_FAULTS_SEED={seed} MEMSYS_FAULTS_SECONDS={SECONDS:g}; logs and ledger in {tmp_path}")
    ledger = Ledger(tmp_path / "ledger.jsonl")
    async with rig(model, tmp_path) as running:
        front = Front([running.client(replica, TIMEOUT_SECONDS) for replica in running.replicas])
        mischief, footprint = Mischief(running, seed), Footprint(running.replicas)
        watching = asyncio.create_task(footprint.watch())
        over = asyncio.Event()
        clients = [Client(number, seed, front, ledger) for number in range(CLIENTS)]
        living = asyncio.gather(*(client.live(over) for client in clients))
        begun = time.monotonic()
        await mischief.make(SECONDS)
        over.set()
        await asyncio.wait_for(living, 60)
        seconds = time.monotonic() - begun
        watching.cancel()
        print(f"  {sum(front.answers.values()) / seconds:.0f} requests/s, {dict(front.answers.most_common())}")
        print(f"  {ledger.acknowledged} writes acknowledged, {len(ledger.given_up)} adds given up unanswered")
        for recovery in mischief.recoveries:
            print(f"  {recovery.replica} reads {recovery.seconds:.2f} s after {recovery.fault}")
        for life, (before, after) in footprint.growth().items():
            print(f"  {life} held {before >> 20} MiB after its warm-up, {after >> 20} MiB at the end")

        await running.ready()
        wrong = await _not_found(front, ledger)
        wrong += front.violations + lost_or_doubled(running.superuser, ledger)
        await _delivered(running)
        wrong += apart(running.superuser, running.neo4j)
        await front.close()
    ledger.close()
    wrong += [
        f"{r.replica} read only {r.seconds:.1f} s after {r.fault}"
        for r in mischief.recoveries
        if r.seconds > RECOVERY_SECONDS
    ]
    wrong += [
        f"{life} grew from {before >> 20} to {after >> 20} MiB"
        for life, (before, after) in footprint.growth().items()
        if after > before * GROWTH + GROWTH_BYTES
    ]
    assert not wrong, f"{len(wrong)} findings with seed {seed}:\n" + "\n".join(wrong[:50])


async def _not_found(front: Front, ledger: Ledger) -> list[str]:
    """Every memory that a search for its own text does not name once, or names though it is deleted."""
    todo = list(ledger.records.values())
    wrong: list[str] = []

    async def search() -> None:
        while todo:
            wrong.extend(await _search(front, todo.pop()))

    await asyncio.gather(*(search() for _ in range(_SEARCHERS)))
    return wrong


async def _search(front: Front, record: Record) -> list[str]:
    if not record.settled:
        return []
    query = {"query": record.versions[record.newest], "user_id": record.user, "top_k": 5}
    answer = await front.request("POST", "/search", json=query)
    found = [one["memory"] for one in answer.json()["results"] if one["id"] == record.id]
    expected = [] if record.deleted else [record.versions[record.newest]]
    return [] if found == expected else [f"a search for {record.id} finds {found}, expected {expected}"]


async def _delivered(running: Rig) -> None:
    """Wait until nothing is on its way to the graph, without any help."""
    begun = time.monotonic()
    waits = "SELECT count(*) FILTER (WHERE state = 'pending'), count(*) FILTER (WHERE state = 'parked') FROM deliveries"
    async with await psycopg.AsyncConnection.connect(running.superuser, autocommit=True) as conn:
        while (queue := await (await conn.execute(waits)).fetchone()) != (0, 0):
            assert time.monotonic() < begun + SETTLE_SECONDS, f"not delivered within {SETTLE_SECONDS:g} s: {queue}"
            await asyncio.sleep(0.2)
    print(f"  the graph has caught up {time.monotonic() - begun:.1f} s after the traffic")
