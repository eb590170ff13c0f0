"""Writers that want the same rows at once: they wait for each other, and none is told that the database is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, LiteralString

import psycopg
import pytest

from tests.support.scripted_llm import ScriptedLLM

from .conftest import Dsn, Replica
from .support.waiting import until
from .test_inference_flow import facts, llm, thinking

__all__ = ["llm", "thinking"]


@asynccontextmanager
async def in_the_way(dsn: Dsn, statement: LiteralString, parameters: tuple[Any, ...]) -> AsyncIterator[Any]:
    """Hold what a statement locks; yields what waits until so many others wait for a lock, and lets go at the end."""
    holding = await psycopg.AsyncConnection.connect(dsn.superuser)
    looking = await psycopg.AsyncConnection.connect(dsn.superuser, autocommit=True)
    async with holding, looking:
        await holding.execute(statement, parameters)

        async def waiting(writers: int) -> None:
            async def they_wait() -> bool:
                cursor = await looking.execute(
                    """SELECT count(*) FROM pg_stat_activity
                       WHERE datname = current_database() AND wait_event_type = 'Lock'"""
                )
                return await cursor.fetchone() == (writers,)

            await until(f"{writers} writers wait", they_wait)

        yield waiting
        await holding.rollback()


MIDDLE: LiteralString = "INSERT INTO entities (project, key, name, kind) VALUES ('default', %s, 'x', 'person')"
NAMES = ["Anna Kowalski", "Boris Novak", "Clara Jensen"]


def greetings(order: int) -> list[str]:
    return [f"I met {name} in the park" for name in NAMES[::order]]


async def test_batches_of_adds_that_bring_the_same_entities_in_another_order(api: Replica, dsn: Dsn) -> None:
    async def add(order: int) -> int:
        requests = [{"messages": said, "user_id": f"u{order}"} for said in greetings(order)]
        return (await api.client.post("/memories/batch", json={"requests": requests})).status_code

    await api.add("the project is there")
    async with asyncio.TaskGroup() as writers, in_the_way(dsn, MIDDLE, ("boris novak",)) as waiting:
        answers = [writers.create_task(add(order)) for order in (1, -1)]
        await waiting(2)
    assert [answer.result() for answer in answers] == [200, 200]
    entities = (await api.client.get("/entities")).json()["results"]
    assert {"anna kowalski", "boris novak", "clara jensen"} <= {one["key"] for one in entities}


async def test_batches_of_updates_that_bring_the_same_entities_in_another_order(api: Replica, dsn: Dsn) -> None:
    notes = [{"role": "user", "content": f"note {n}"} for n in range(3)]
    theirs = {order: await api.add(notes, user_id=f"u{order}") for order in (1, -1)}

    async def update(order: int) -> int:
        changes = [
            {"memory_id": memory["id"], "text": text}
            for memory, text in zip(theirs[order], greetings(order), strict=True)
        ]
        return (await api.client.put("/v1/batch/", json={"memories": changes})).status_code

    async with asyncio.TaskGroup() as writers, in_the_way(dsn, MIDDLE, ("boris novak",)) as waiting:
        answers = [writers.create_task(update(order)) for order in (1, -1)]
        await waiting(2)
    assert [answer.result() for answer in answers] == [200, 200]


@pytest.mark.parametrize("order", [1, -1])
async def test_a_batch_of_updates_while_the_same_memories_are_delivered(graphed: Replica, dsn: Dsn, order: int) -> None:
    sink = graphed.sink
    assert sink is not None
    sink.hold = asyncio.Event()
    added = await graphed.add([{"role": "user", "content": f"note {n}"} for n in range(9)], user_id="u")
    ids = [memory["id"] for memory in added][::order]
    await until("they are being delivered", lambda: sink.batches)
    held = "SELECT FROM deliveries WHERE memory_id = %s FOR UPDATE"
    changes = [{"memory_id": memory_id, "text": f"another note {memory_id}"} for memory_id in ids]
    async with asyncio.TaskGroup() as writers, in_the_way(dsn, held, (ids[4],)) as waiting:
        update = writers.create_task(graphed.client.put("/v1/batch/", json={"memories": changes}))
        await waiting(1)
        sink.hold.set()
        await waiting(2)
    assert update.result().status_code == 200, update.result().text

    def delivered() -> bool:
        return [record.version for record in sink.held.values()] == [2] * 9

    await until("the graph has all of it", delivered, 30)  # half of a lease


async def test_a_fact_that_is_known_while_what_the_model_was_shown_is_deleted(
    thinking: Replica, llm: ScriptedLLM, dsn: Dsn
) -> None:
    """It is not among what the model was shown, which its message is nearer to."""
    known = "User keeps bees"
    trains = [{"role": "user", "content": f"The train to Lyon number {n}"} for n in range(5)]
    last = max(one["id"] for one in await thinking.add(trains, user_id="u", infer=False))
    while (bees := (await thinking.add(known, user_id="u", infer=False))[0])["id"] > last:
        await thinking.client.delete(f"/memories/{bees['id']}")
    llm.say(facts(known))
    heard = {"messages": "The train to Lyon number 4 is late", "user_id": "u"}
    held = "SELECT FROM memory_versions WHERE id = %s AND version = 1 FOR UPDATE"
    async with asyncio.TaskGroup() as writers, in_the_way(dsn, held, (bees["id"],)) as waiting:
        gone = {"memories": [{"memory_id": memory_id} for memory_id in (bees["id"], last)]}
        deletion = writers.create_task(thinking.client.request("DELETE", "/v1/batch/", json=gone))
        await waiting(1)
        add = writers.create_task(thinking.client.post("/memories", json=heard))
        await waiting(2)
    assert (deletion.result().status_code, add.result().status_code) == (200, 200), add.result().text
