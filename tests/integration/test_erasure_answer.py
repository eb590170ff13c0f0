"""What a request to forget is answered: the receipt, even when something passing is in its way."""

from __future__ import annotations

import asyncio

import psycopg

from .conftest import Dsn, Replica
from .support.waiting import until


async def test_a_transaction_that_ends_soon_changes_nothing_of_the_answer(api: Replica, dsn: Dsn) -> None:
    await api.add("of ann", user_id="ann", infer=False)

    async def waits() -> bool:
        found = (await api.client.get("/erasures")).json()["results"]
        return bool(found) and "transactions that began before" in (found[0]["waits_for"] or "")

    with psycopg.connect(dsn.app) as writer:
        writer.execute("SELECT 1")
        asked = asyncio.create_task(api.client.post("/erasures", json={"user_id": "ann"}))
        await until("the erasure waits for the transaction", waits)
        writer.rollback()
    answer = await asked
    assert answer.status_code == 200
    assert answer.json()["receipt"]["removed"]["postgres"]["memory_versions"] == 2, "what was said, and that it is gone"
