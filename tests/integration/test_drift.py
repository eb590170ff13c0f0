"""What differs between PostgreSQL and the graph is found, named and mended, one memory at a time."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from memsys_api.model import SinkRecord

from .conftest import Replica
from .support.graph_queue import settled


async def test_sync_drives_one_memory_even_when_nothing_is_queued(graphed: Replica) -> None:
    sink = graphed.sink
    assert sink
    [added] = await graphed.add("lost by the graph")
    await settled(graphed)
    sink.held.clear()
    drift = (await graphed.client.get("/graph/drift")).json()
    assert drift["samples"] == [{"project": "default", "memory_id": added["id"], "kind": "missing"}]
    synced = (await graphed.client.post("/graph/sync", params={"memory_id": added["id"]})).json()
    assert synced["pending"] == synced["parked"] == 0
    assert sink.live() == {UUID(added["id"])}
    assert (await graphed.client.get("/graph/drift")).json()["missing"] == 0
    assert (await graphed.client.post("/graph/sync", params={"memory_id": str(uuid4())})).status_code == 404


async def test_drift_is_found_in_both_directions_over_many_pages(graphed: Replica) -> None:
    sink = graphed.sink
    assert sink
    turns = [{"role": "user", "content": f"note {n}"} for n in range(400)]
    ids = [UUID(r["id"]) for part in (turns, turns, turns) for r in await graphed.add(part)]
    await graphed.client.post("/memories", json={"text": "elsewhere"}, headers={"X-Memsys-Project": "other"})
    await settled(graphed)
    clean = (await graphed.client.get("/graph/drift")).json()
    assert clean == {"provider": "none", "checked": 1201, "ranges": 4, "differing": 0, "missing": 0, "stale": 0,
                     "unexpected": 0, "strays": 0, "complete": True, "cursor": None, "samples": []}  # fmt: skip
    del sink.held["default", ids[5]]
    edited = sink.held["default", ids[600]]
    assert edited.memory
    sink.held["default", ids[700]] = SinkRecord("default", ids[700], 1, edited.memory)  # changed by hand
    ghost = uuid4()
    sink.held["default", ghost] = SinkRecord("default", ghost, 1, edited.memory)
    drift = (await graphed.client.get("/graph/drift")).json()
    assert (drift["missing"], drift["stale"], drift["unexpected"]) == (1, 1, 1)
    assert drift["differing"] < drift["ranges"]  # nothing of another project's range was opened
    assert {(s["kind"], s["memory_id"]) for s in drift["samples"]} == {
        ("missing", str(ids[5])), ("stale", str(ids[700])), ("unexpected", str(ghost)),
    }  # fmt: skip
    for sample in drift["samples"]:
        synced = await graphed.client.post(
            "/graph/sync",
            params={"memory_id": sample["memory_id"]},
            headers={"X-Memsys-Project": sample["project"]},
        )
        assert synced.status_code == 200, synced.text
    assert (await graphed.client.get("/graph/drift")).json() == clean


async def test_a_walk_in_ranges_comes_to_every_memory_once(graphed: Replica) -> None:
    assert graphed.sink
    turns = [{"role": "user", "content": f"note {n}"} for n in range(400)]
    ids = [UUID(r["id"]) for part in (turns, turns, turns) for r in await graphed.add(part)]
    await graphed.client.post("/memories", json={"text": "elsewhere"}, headers={"X-Memsys-Project": "other"})
    await settled(graphed)
    lost = {str(ids[n]) for n in (3, 700, 1100)}
    for memory_id in lost:
        del graphed.sink.held["default", UUID(memory_id)]
    graphed.sink.stray = 2
    checked, found, cursor, calls = 0, set(), None, 0
    while calls == 0 or cursor is not None:
        params = {"ranges": 1, **({"cursor": cursor} if cursor else {})}
        part = (await graphed.client.get("/graph/drift", params=params)).json()
        assert part["ranges"] <= 1
        assert part["complete"] is (part["cursor"] is None)
        found |= {sample["memory_id"] for sample in part["samples"] if sample["kind"] == "missing"}
        checked, cursor, calls = checked + part["checked"], part["cursor"], calls + 1
    assert (checked, found, calls) == (1201, lost, 4)
    refused = await graphed.client.get("/graph/drift", params={"cursor": "not one"})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, "cursor")


async def test_strays_are_named_by_project_and_swept_by_sync(graphed: Replica) -> None:
    assert graphed.sink
    await graphed.add("note")
    await settled(graphed)
    graphed.sink.stray = 3
    drift = (await graphed.client.get("/graph/drift")).json()
    assert drift["strays"] == 3
    assert drift["samples"] == [{"project": "default", "memory_id": None, "kind": "stray"}]
    synced = await graphed.client.post("/graph/sync", params={"sweep": True}, headers={"X-Memsys-Project": "default"})
    assert synced.json()["swept"] == 3
    assert (await graphed.client.get("/graph/drift")).json()["strays"] == 0


SYNCS = pytest.mark.parametrize("sync", ["/graph/sync", "/sinks/graph/sync"])


@SYNCS
async def test_a_version_that_postgres_never_reached_gives_way_to_a_sync(graphed: Replica, sync: str) -> None:
    """As after a restore of PostgreSQL from a backup: the graph is ahead and refuses what is older."""
    sink = graphed.sink
    assert sink
    [added] = await graphed.add("restored")
    memory_id = UUID(added["id"])
    await settled(graphed)
    sink.held["default", memory_id] = SinkRecord("default", memory_id, 7, None)
    assert (await graphed.client.get("/graph/drift")).json()["missing"] == 1
    await graphed.client.post(sync, params={"memory_id": added["id"]})
    assert sink.held["default", memory_id].version == 1
    assert (await graphed.client.get("/graph/drift")).json()["missing"] == 0


@SYNCS
async def test_what_only_the_graph_holds_goes_with_a_sync_and_what_nobody_holds_is_not_found(
    graphed: Replica, sync: str
) -> None:
    sink = graphed.sink
    assert sink
    await graphed.add("note")
    await settled(graphed)
    ghost = uuid4()
    sink.held["default", ghost] = SinkRecord("default", ghost, 1, None)
    statuses = [(await graphed.client.post(sync, params={"memory_id": str(ghost)})).status_code for _ in range(2)]
    assert statuses == [200, 404]
    assert ("default", ghost) not in sink.held


@SYNCS
async def test_names_are_renewed_by_a_sync_of_one_memory(graphed: Replica, sync: str) -> None:
    sink = graphed.sink
    assert sink
    [added] = await graphed.add("Ada Lovelace met Charles Babbage")
    await settled(graphed)
    sink.doubted.clear()
    await graphed.client.post(sync, params={"memory_id": added["id"]})
    assert sink.doubted


@SYNCS
async def test_a_sync_of_one_memory_says_so_when_the_graph_does_not_answer(graphed: Replica, sync: str) -> None:
    assert graphed.sink
    [added] = await graphed.add("note")
    graphed.sink.away = True
    answer = await graphed.client.post(sync, params={"memory_id": added["id"]})
    assert answer.status_code == 503
    assert "retry-after" in answer.headers


async def test_drift_says_so_when_the_graph_does_not_answer(graphed: Replica) -> None:
    assert graphed.sink
    await graphed.add("note")
    graphed.sink.away = True
    answer = await graphed.client.get("/graph/drift")
    assert answer.status_code == 503
    assert "retry-after" in answer.headers
