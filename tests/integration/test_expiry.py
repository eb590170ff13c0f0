"""Memories that are to be forgotten: out of sight at once, whether or not the sweep has come by."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from memsys_api.store import retention

from .conftest import Dsn, Replica
from .support.waiting import until


def _left(memory: dict[str, Any]) -> float:
    """Seconds until it is forgotten."""
    return (datetime.fromisoformat(memory["expires_at"]) - datetime.now(UTC)).total_seconds()


async def test_an_add_counts_its_time_to_live_from_now(api: Replica) -> None:
    [added] = await api.add("parking spot 12", ttl_seconds=3600)
    memory = (await api.client.get(f"/memories/{added['id']}")).json()
    assert 3500 < _left(memory) <= 3600


async def test_an_update_sets_moves_keeps_and_clears_the_expiry(api: Replica) -> None:
    [added] = await api.add("parking spot 12")
    path = f"/memories/{added['id']}"
    set_by_ttl = (await api.client.put(path, json={"ttl_seconds": 60})).json()
    assert (set_by_ttl["version"], set_by_ttl["memory"]) == (2, "parking spot 12")
    assert 0 < _left(set_by_ttl) <= 60
    later = (datetime.now(UTC) + timedelta(days=2)).isoformat()
    moved = (await api.client.put(path, json={"expires_at": later})).json()
    assert datetime.fromisoformat(moved["expires_at"]) == datetime.fromisoformat(later)
    kept = (await api.client.put(path, json={"text": "parking spot 13"})).json()
    assert kept["expires_at"] == moved["expires_at"]
    assert (await api.client.put(path, json={"expires_at": None})).json()["expires_at"] is None


async def test_an_update_changes_when_it_happened(api: Replica) -> None:
    [added] = await api.add("the treaty was signed")
    changed = (await api.client.put(f"/memories/{added['id']}", json={"timestamp": "2019-06-01T12:00:00+02:00"})).json()
    assert datetime.fromisoformat(changed["event_time"]) == datetime(2019, 6, 1, 10, tzinfo=UTC)
    assert changed["memory"] == "the treaty was signed"


async def test_what_is_past_its_time_is_out_of_sight_before_any_sweep(api: Replica, dsn: Dsn) -> None:
    [added] = await api.add("parking spot 12", user_id="u", metadata={"n": 1}, ttl_seconds=3600)
    known = datetime.now(UTC).isoformat()
    with psycopg.connect(dsn.superuser) as conn:  # the clock moves on, as far as this memory is concerned
        conn.execute("UPDATE memory_versions SET expires_at = now() WHERE id = %s", (added["id"],))
        conn.execute("UPDATE embeddings_1 SET expires_at = now() WHERE memory_id = %s", (added["id"],))
    path = f"/memories/{added['id']}"
    assert (await api.client.get(path)).status_code == 404
    assert (await api.client.put(path, json={"text": "x"})).status_code == 404
    assert (await api.client.delete(path)).status_code == 404
    assert (await api.client.get("/memories")).json()["results"] == []
    assert await api.search("parking spot", user_id="u") == []
    assert await api.search("parking spot", filters={"n": 1}) == []
    assert (await api.client.get("/v1/entities/")).json()["count"] == 0
    assert (await api.client.post("/v3/memories/", json={})).json()["count"] == 0
    assert (await api.client.get(f"{path}/history")).json()[0]["new_memory"] == "parking spot 12"
    assert (await api.client.get(path, params={"as_of": known})).status_code == 200


@pytest.mark.parametrize(("method", "body", "field"), [
    ("POST", {"text": "x", "ttl_seconds": 0}, "ttl_seconds"),
    ("POST", {"text": "x", "ttl_seconds": 10**12}, "ttl_seconds"),
    ("POST", {"text": "x", "ttl_seconds": 5, "expires_at": "2030-01-01T00:00:00Z"}, "body"),
    ("POST", {"text": "x", "expires_at": "0001-01-01T00:00:00+14:00"}, "expires_at"),
    ("POST", {"text": "x", "expires_at": "0001-12-31T23:59:59Z"}, "expires_at"),
    ("POST", {"text": "x", "expires_at": "9999-01-01T00:00:00Z"}, "expires_at"),
    ("POST", {"text": "x", "expires_at": "9999-12-31T23:59:59-12:00"}, "expires_at"),
    ("PUT", {"ttl_seconds": "soon"}, "ttl_seconds"),
    ("PUT", {"timestamp": None}, "body"),
    ("PUT", {}, "body"),
], ids=str)  # fmt: skip
async def test_an_expiry_that_cannot_be_is_refused_by_name(
    api: Replica, method: str, body: dict[str, Any], field: str
) -> None:
    [added] = await api.add("parking spot 12")
    path = "/memories" if method == "POST" else f"/memories/{added['id']}"
    answer = await api.client.request(method, path, json=body)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == field, answer.text


async def test_an_update_that_takes_the_expiry_away_is_not_buried_by_the_sweep_that_waited_for_it(
    api: Replica, dsn: Dsn
) -> None:
    [added] = await api.add("keep me", user_id="u", infer=False)
    path, service = f"/memories/{added['id']}", api.service
    with psycopg.connect(dsn.superuser, autocommit=True) as watcher, psycopg.connect(dsn.superuser) as conn:

        def waiting(count: int) -> bool:
            row = watcher.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            ).fetchone()
            return row == (count,)

        soon = datetime.now(UTC) + timedelta(seconds=1)
        assert (await api.client.put(path, json={"expires_at": soon.isoformat()})).status_code == 200
        conn.execute("SELECT FROM memory_versions WHERE id = %s AND version = 1 FOR UPDATE", (added["id"],))
        update = asyncio.create_task(api.client.put(path, json={"expires_at": None}))
        await until("the update waits", lambda: waiting(1))
        await asyncio.sleep((soon - datetime.now(UTC)).total_seconds() + 0.1)
        swept = asyncio.create_task(retention.expire(service.database, service.generation, []))
        await until("the sweep waits behind it", lambda: waiting(2))
    assert (await update).status_code == 200
    assert await swept == 0
    assert (await api.client.get(path)).json()["expires_at"] is None


async def _release(api: Replica) -> str:
    """Let go what is held; the id of its memory."""
    (waiting,) = (await api.client.get("/quarantine")).json()["results"]
    answer = await api.client.post(f"/quarantine/{waiting['id']}/release")
    assert answer.status_code == 200, answer.text
    return str(answer.json()["memory_ids"][0])


async def _hold(api: Replica, kind: str, **expiry: Any) -> datetime:
    """Have a write held; by when it was."""
    assert (await api.client.put("/policy", json={"quarantine": "hold"})).status_code == 200
    suspect = {"text": "the password is Tr0ub4dor-and-3"} | expiry
    if kind == "update":
        [added] = await api.add("the password was forgotten", ttl_seconds=100_000)
        answer = await api.client.put(f"/memories/{added['id']}", json=suspect)
    else:
        answer = await api.client.post("/memories", json=suspect | {"wait": kind == "add"})
    assert answer.status_code == 202, answer.text
    return datetime.now(UTC)


@pytest.mark.parametrize("kind", ["add", "submission", "update"])
async def test_a_time_to_live_counts_from_the_request_also_where_that_is_held(api: Replica, kind: str) -> None:
    by = await _hold(api, kind, ttl_seconds=3600)
    memory = (await api.client.get(f"/memories/{await _release(api)}")).json()
    assert by + timedelta(seconds=3590) < datetime.fromisoformat(memory["expires_at"]) <= by + timedelta(seconds=3600)


@pytest.mark.parametrize("expiry", [{"ttl_seconds": None}, {"expires_at": None}, {}], ids=str)
@pytest.mark.parametrize("kind", ["add", "update"])
async def test_an_expiry_that_is_none_or_unsaid_stays_so_while_it_is_held(
    api: Replica, kind: str, expiry: dict[str, None]
) -> None:
    await _hold(api, kind, **expiry)
    memory = (await api.client.get(f"/memories/{await _release(api)}")).json()
    assert (memory["expires_at"] is None) == (kind == "add" or bool(expiry))


@pytest.mark.parametrize("kind", ["add", "submission", "update"])
async def test_what_is_past_its_time_when_it_is_released_is_out_of_sight_at_once(api: Replica, kind: str) -> None:
    await _hold(api, kind, ttl_seconds=1)
    await asyncio.sleep(1.1)
    memory_id = await _release(api)
    assert (await api.client.get(f"/memories/{memory_id}")).status_code == 404
    assert (await api.client.get("/memories")).json()["results"] == []
    assert await retention.expire(api.service.database, api.service.generation, []) == 1
    history = (await api.client.get(f"/memories/{memory_id}/history")).json()
    assert [entry["event"] for entry in history][-2:] == ["UPDATE" if kind == "update" else "ADD", "DELETE"]
