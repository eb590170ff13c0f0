"""An entity that turns out to be of a more specific kind: whatever speaks of it shows that, whoever found it."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest

from memsys_api.store import deliveries

from .conftest import Replica
from .support.waiting import until

MET = "We met Anna Keller in Lisbon yesterday."
WORKS = "Anna Keller works at Acme Corp."


def _kind(api: Replica, memory_id: str) -> str | None:
    """What the sink was last told that Anna Keller is, by way of this memory."""
    assert api.sink
    record = api.sink.held.get(("default", UUID(memory_id)))
    return None if record is None else {e.key: e.kind for e in record.extraction.entities}.get("anna keller")


async def _shows(api: Replica, memory_id: str, kind: str) -> None:
    await until(f"memory {memory_id} shows kind {kind}", lambda: _kind(api, memory_id) == kind)


async def test_what_spoke_of_it_before_is_delivered_again(graphed: Replica) -> None:
    [before] = await graphed.add(MET)
    await _shows(graphed, before["id"], "entity")
    await graphed.add(WORKS)
    await _shows(graphed, before["id"], "person")


async def test_the_memory_that_found_it_may_be_gone_before_it_is_delivered(graphed: Replica) -> None:
    assert graphed.service.graph
    [before] = await graphed.add(MET)
    await _shows(graphed, before["id"], "entity")
    assert graphed.sink
    graphed.sink.hold = asyncio.Event()
    [found] = await graphed.add(WORKS)
    await graphed.client.delete(f"/memories/{found['id']}")
    graphed.sink.hold.set()
    await _shows(graphed, before["id"], "person")


async def test_a_memory_written_beside_is_delivered_again_when_it_was_read_too_early(
    graphed: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two transactions that do not see each other: the one that finds the kind ends last."""
    [before] = await graphed.add(MET)
    await _shows(graphed, before["id"], "entity")
    held = _Held()
    monkeypatch.setattr(deliveries, "enqueue", held.enqueue)
    beside = asyncio.create_task(graphed.add("We saw Anna Keller in Lisbon again."))
    await until("the memory beside is written", lambda: len(held.gates) == 1)
    finding = asyncio.create_task(graphed.add(WORKS))
    await until("the kind is written", lambda: len(held.gates) == 2)
    held.gates[0].set()
    [other] = await beside
    await _shows(graphed, other["id"], "entity")
    held.gates[1].set()
    await finding
    await _shows(graphed, other["id"], "person")
    assert (await graphed.client.get("/graph/drift")).json()["stale"] == 0


class _Held:
    """Keeps transactions open that have written everything."""

    def __init__(self) -> None:
        self.gates: list[asyncio.Event] = []
        self._enqueue = deliveries.enqueue

    async def enqueue(self, conn: Any, *what: Any) -> None:
        await self._enqueue(conn, *what)
        await (await conn.execute("SELECT 1")).fetchone()  # all of it has reached the server
        self.gates.append(gate := asyncio.Event())
        await gate.wait()
