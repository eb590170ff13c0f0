"""An external vector index: fed from PostgreSQL, asked for candidates, and never needed."""

from __future__ import annotations

import asyncio
import json
import time
from uuid import UUID, uuid4

import psycopg

from memsys_api.model import SinkRecord
from tests.integration.conftest import Dsn, Fleet, Replica
from tests.integration.support.erasing import erase
from tests.integration.support.measured import measured
from tests.integration.support.pauses import longest_pause
from tests.integration.support.waiting import until
from tests.support.scripted_http import Failed

from .conftest import Store

TEXTS = ["Anna paints watercolours of the sea", "Bob repairs old radios", "Carla bakes rye bread on Sundays"]


async def _ready(api: Replica) -> None:
    """Until the index is filled and everything written has reached it."""
    vectors = api.service.vectors
    assert vectors is not None
    await until("the index is filled", lambda: vectors.filling.filled and vectors.breaker.closed)

    async def drained() -> bool:
        answer = await api.client.get("/sinks")
        return all(sink["pending"] == 0 and sink["parked"] == 0 for sink in answer.json())

    await until("nothing waits for the index", drained)
    await until("the dispatcher has seen so", lambda: vectors.dispatcher.backlog == 0)


def _outcome(outcome: str) -> float:
    return measured("memsys_api_vector_searches_total", outcome=outcome)


async def test_the_index_names_candidates_and_the_ranking_stays_the_same(fleet: Fleet, store: Store) -> None:
    async with fleet.replica() as plain:
        for text in TEXTS:
            await plain.add(text, user_id="u1", metadata={"kind": "note"})
        await plain.add("Dora sails", user_id="u2")
        expected = await plain.search("Who bakes bread?", user_id="u1", explain=True)
    async with fleet.replica(**store.settings) as api:
        await _ready(api)
        before = _outcome("answered")
        assert await api.search("Who bakes bread?", user_id="u1", explain=True) == expected
        assert store.searches() == 1
        assert _outcome("answered") == before + 1
        await api.search("Who bakes bread?", user_id="u1", filters={"metadata": {"kind": "note"}})
        await api.search("Who bakes bread?", user_id="u1", as_of="2020-01-01T00:00:00Z")
        assert store.searches() == 1, "metadata and moments are PostgreSQL's to search by"


async def test_what_is_held_is_ids_and_scope_alone(fleet: Fleet, store: Store) -> None:
    async with fleet.replica(**store.settings) as api:
        [added] = await api.add(TEXTS[0], user_id="u1", run_id="r1", metadata={"secret": "of the sea"})
        await _ready(api)
        payload = store.payloads()[added["id"]]
        assert payload == {
            "memory_id": added["id"], "version": 1, "project": "default", "user_id": "u1", "run_id": "r1",
        }  # fmt: skip
        assert "watercolours" not in str([call.body for call in store.server.calls])
        assert "secret" not in str([call.body for call in store.server.calls])


async def test_changes_follow_and_a_late_add_does_not_raise_the_dead(fleet: Fleet, store: Store) -> None:
    async with fleet.replica(**store.settings) as api:
        [kept], [gone] = await api.add(TEXTS[0], user_id="u1"), await api.add(TEXTS[1], user_id="u1")
        await _ready(api)
        await api.client.put(f"/memories/{kept['id']}", json={"text": "Anna paints in oil"})
        await api.client.delete(f"/memories/{gone['id']}")
        await _ready(api)
        assert {i: p["version"] for i, p in store.payloads().items()} == {kept["id"]: 2}
        sink = api.service.vectors.sink  # type: ignore[union-attr]
        assert await sink.holding("default", [UUID(kept["id"]), UUID(gone["id"])]) == 1
        for late in (gone["id"], kept["id"]):
            assert await sink.apply([SinkRecord("default", UUID(late), 1, None)]) == {}
        assert {i: p["version"] for i, p in store.payloads().items()} == {kept["id"]: 2}


async def test_a_memory_is_found_before_it_reaches_the_index(fleet: Fleet, store: Store) -> None:
    async with fleet.replica(**store.settings) as api:
        await api.add(TEXTS[0], user_id="u1")
        await _ready(api)
        store.server.fault = lambda call: None if "query" in call.path or call.method == "GET" else Failed(400)
        [added] = await api.add(TEXTS[2], user_id="u1")
        asked = store.searches()
        found = await api.search("rye bread", user_id="u1")
        assert store.searches() == asked + 1
        hit = next(one for one in found if one["id"] == added["id"])
        assert "vector" in hit["source"]


async def test_an_index_that_names_what_is_not_in_scope_is_not_believed(fleet: Fleet, store: Store) -> None:
    async with fleet.replica(**store.settings) as api:
        await api.add(TEXTS[0], user_id="u1")
        await api.add(TEXTS[2], user_id="u2")
        await api.client.post(
            "/memories", json={"messages": TEXTS[1], "user_id": "u1"}, headers={"X-Memsys-Project": "other"}
        )
        await _ready(api)
        for payload in store.payloads().values():
            payload |= {"project": "default", "user_id": "u1"}
        found = await api.search("bread and radios", user_id="u1")
        assert [hit["memory"] for hit in found] == [TEXTS[0]]


async def test_an_index_that_is_away_costs_nothing_but_itself(fleet: Fleet, store: Store) -> None:
    async with fleet.replica(**store.settings) as api:
        await api.add(TEXTS[0], user_id="u1")
        await _ready(api)
        store.server.close()
        expected = await api.search("the sea", user_id="u1")
        assert [hit["memory"] for hit in expected] == [TEXTS[0]]
        [added] = await api.add(TEXTS[2], user_id="u1")
        assert (await api.search("rye bread", user_id="u1"))[0]["id"] == added["id"]
        with store.reborn():
            await _ready(api)
            assert added["id"] in store.payloads()

            async def asked() -> bool:  # a connection from before the outage may fail once more
                await api.search("rye bread", user_id="u1")
                return store.searches() > 0

            await until("the index is asked again", asked)


async def test_a_slow_index_is_waited_for_no_longer_than_the_setting_says(fleet: Fleet, store: Store) -> None:
    async with fleet.replica(**store.settings) as api:
        await api.add(TEXTS[0], user_id="u1")
        await _ready(api)
        store.server.delay = 5
        failed, begun = _outcome("failed"), time.monotonic()
        pauses = asyncio.create_task(longest_pause())
        [hit] = await api.search("the sea", user_id="u1")
        assert hit["memory"] == TEXTS[0]
        assert 0.3 <= time.monotonic() - begun < 4.0
        assert _outcome("failed") == failed + 1
        pauses.cancel()
        assert await pauses < 1.0, "a client blocked the event loop"


async def test_choosing_an_index_later_fills_it_and_so_does_losing_it(fleet: Fleet, store: Store) -> None:
    async with fleet.replica() as plain:
        for project in ("a", "b"):
            for text in TEXTS:
                await plain.client.post(
                    "/memories", json={"messages": text, "user_id": "u1"}, headers={"X-Memsys-Project": project}
                )
        [gone] = await plain.add("Not for long", user_id="u1")
        await plain.client.delete(f"/memories/{gone['id']}")
    async with fleet.replica(**store.settings) as api:
        await _ready(api)
        assert len(store.payloads()) == 6
        counted = (await api.client.get("/sinks/vectors/count")).json()
        assert counted == {"provider": store.name, "expected": 6, "held": 6, "queued": 0}
        store.lose_everything()
        await until("it is filled again", lambda: len(store.payloads()) == 6)
    async with fleet.replica() as plain:  # back to PostgreSQL alone: what was fed is past
        assert plain.service.vectors is None
        await plain.client.post(
            "/memories", json={"messages": "Emil juggles", "user_id": "u1"}, headers={"X-Memsys-Project": "a"}
        )
    async with fleet.replica(**store.settings) as api:
        await until("what was written meanwhile is there too", lambda: len(store.payloads()) == 7)


async def test_what_a_replica_writes_that_does_not_know_of_the_index_follows(
    fleet: Fleet, store: Store, dsn: Dsn
) -> None:
    """As while a rolling update brings the index: what was recorded long ago elsewhere, and what is no more."""
    async with fleet.replica() as before:
        [erased] = await before.add(TEXTS[0], user_id="u1")
        async with fleet.replica(**store.settings) as api:
            await _ready(api)
            assert set(store.payloads()) == {erased["id"]}
        imported = str(uuid4())
        lines = [
            {"format": "memsys-export", "version": 1, "heads": False},
            {"id": imported, "memory": TEXTS[1], "recorded_from": "2025-03-01T00:00:00Z"},
            {"end": True, "versions": 1},
        ]
        report = await before.client.post("/import", content="\n".join(map(json.dumps, lines)))
        assert report.json()["imported"] == 1
        await erase(before, memory_ids=[erased["id"]])
        with psycopg.connect(dsn.superuser) as conn:  # the rolling update is long over
            conn.execute("UPDATE fills SET due_at = now()")
        async with fleet.replica(**store.settings):
            await until("the index knows of both", lambda: set(store.payloads()) == {imported}, 20)


async def test_status_sync_and_refill(fleet: Fleet, store: Store) -> None:
    async with fleet.replica(**store.settings) as api:
        [added] = await api.add(TEXTS[0], user_id="u1")
        await _ready(api)
        [status] = (await api.client.get("/sinks")).json()
        assert status == {
            "name": "vectors", "provider": store.name, "available": True, "filled": True, "pending": 0, "parked": 0,
            "lag_seconds": 0.0, "last_error": None,
        }  # fmt: skip
        store.payloads()[added["id"]]["version"] = 99  # an edit by hand
        answer = await api.client.post("/sinks/vectors/sync", params={"memory_id": added["id"]})
        assert answer.json()["applied"] == 1
        assert store.payloads()[added["id"]]["version"] == 1
        assert (await api.client.post("/sinks/vectors/refill")).status_code == 200
        await _ready(api)
        for path in ("/sinks/nothing/sync", "/sinks/nothing/refill"):
            assert (await api.client.post(path)).status_code == 404


async def test_a_collection_of_other_dimensions_is_left_alone_and_named(fleet: Fleet, store: Store) -> None:
    async with fleet.replica(**store.settings) as api:
        await _ready(api)
    if store.name == "qdrant":
        for collection in store.server.collections.values():  # type: ignore[union-attr]
            collection["config"]["vectors"]["size"] = 5
    else:
        for index in store.server.indexes.values():  # type: ignore[union-attr]
            index["schema"]["fields"]["_values"]["dimension"] = 5
    async with fleet.replica(**store.settings) as api:
        [added] = await api.add(TEXTS[0], user_id="u1")

        async def said() -> bool:
            [status] = (await api.client.get("/sinks")).json()
            return "5 dimensions" in (status["last_error"] or "") and "VECTOR_STORE_COLLECTION" in status["last_error"]

        await until("the status names what to do", said)
        assert [hit["id"] for hit in await api.search("the sea", user_id="u1")] == [added["id"]]


async def test_a_wrong_key_is_named_without_being_told(fleet: Fleet, store: Store) -> None:
    async with fleet.replica(**store.settings | {"VECTOR_STORE_API_KEY": "not-the-key"}) as api:
        await api.add(TEXTS[0], user_id="u1")

        async def said() -> bool:
            [status] = (await api.client.get("/sinks")).json()
            return "is away" in (status["last_error"] or "") and "not-the-key" not in status["last_error"]

        await until("the status says why", said)
