"""Idempotency keys: the same request is carried out once, whoever repeats it, wherever and after whatever."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import pytest

from memsys_api.ports import EmbedderUnavailable

from .conftest import Dsn, Fleet, MakeKey, Replica
from .support.waiting import until

KEY = {"Idempotency-Key": "order-66"}


async def _count(api: Replica) -> int:
    return len((await api.client.get("/memories")).json()["results"])


async def test_a_repeated_request_is_answered_the_same_and_stores_nothing(api: Replica) -> None:
    body = {"messages": [{"role": "user", "content": "one"}, {"role": "user", "content": "two"}], "user_id": "u"}
    first = await api.client.post("/memories", json=body, headers=KEY)
    again = await api.client.post("/memories", json=body, headers=KEY)
    assert first.status_code == again.status_code == 200
    assert first.json() == again.json()
    assert await _count(api) == 2


async def test_the_first_answer_stands_after_the_memory_has_changed(api: Replica) -> None:
    first = (await api.client.post("/memories", json={"text": "one"}, headers=KEY)).json()
    await api.client.put(f"/memories/{first['results'][0]['id']}", json={"text": "two"})
    assert (await api.client.post("/memories", json={"text": "one"}, headers=KEY)).json() == first
    await api.client.delete(f"/memories/{first['results'][0]['id']}")
    assert (await api.client.post("/memories", json={"text": "one"}, headers=KEY)).json() == first
    assert await _count(api) == 0


@pytest.mark.parametrize("change", [{"text": "two"}, {"user_id": "u"}, {"metadata": {"a": 1}}])
async def test_another_request_under_the_same_key_is_refused(api: Replica, change: dict[str, object]) -> None:
    await api.client.post("/memories", json={"text": "one"}, headers=KEY)
    refused = await api.client.post("/memories", json={"text": "one"} | change, headers=KEY)
    assert refused.status_code == 409
    assert refused.json()["type"].endswith("/idempotency-conflict")
    assert refused.json()["errors"][0]["field"] == "Idempotency-Key"
    assert await _count(api) == 1


async def test_a_key_belongs_to_its_project(api: Replica) -> None:
    await api.client.post("/memories", json={"text": "one"}, headers=KEY)
    other = await api.client.post("/memories", json={"text": "two"}, headers=KEY | {"X-Memsys-Project": "other"})
    assert other.status_code == 200


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/memories", {"text": "one"}),
        ("/memories", {"text": "one", "wait": False}),
        ("/v3/memories/add/", {"messages": "one"}),
        ("/memories/batch", {"requests": [{"text": "one"}]}),
    ],
    ids=["add", "submitted", "mem0", "batch"],
)
async def test_a_key_belongs_to_the_grant_of_whom_it_is_for(
    api: Replica, keyed: MakeKey, path: str, body: dict[str, Any]
) -> None:
    write = ["read", "write"]
    async with (
        keyed(rights=write, user_id="mallory") as mallory,
        keyed(rights=write, user_id="alice") as alice,
        keyed(rights=write, user_id="alice") as replaced,
        keyed(rights=write, user_id="alice", agent_id="helper") as narrower,
        keyed(rights=write, agent_id="alice") as agent,
        keyed(rights=write) as whole,
    ):
        answers = {}
        for client in (mallory, alice, narrower, agent, whole):  # none is told of another's
            answers[client] = await client.post(path, json=body, headers=KEY)
            assert answers[client].status_code in (200, 202), answers[client].text
        for client, first in answers.items():
            assert (await client.post(path, json=body, headers=KEY)).text == first.text
        assert len({answer.text for answer in answers.values()}) == await _count(api) == 5
        assert (await replaced.post(path, json=body, headers=KEY)).text == answers[alice].text
        assert (await api.client.post(path, json=body, headers=KEY)).text == answers[whole].text
        other = await replaced.post("/memories", json={"text": "other"}, headers=KEY)
        assert other.json()["type"].endswith("/idempotency-conflict")


async def test_an_update_is_known_by_the_key_of_its_grant(api: Replica, keyed: MakeKey) -> None:
    path, _ = await _updated(api)  # under the same key, for the whole project
    async with keyed(rights=["read", "write"], app_id="shop") as shop:
        mine = (await shop.post("/memories", json={"text": "one"})).json()["results"][0]["id"]
        answers = [await shop.put(f"/memories/{mine}", json={"text": "two"}, headers=KEY) for _ in range(2)]
        assert [(answer.status_code, answer.json()["version"]) for answer in answers] == [(200, 2)] * 2
    assert await _versions(api, path) == [1, 2]


async def test_whose_a_key_is_stands_nowhere_in_words(api: Replica, keyed: MakeKey, dsn: Dsn) -> None:
    async with keyed(rights=["read", "write"], user_id="xyzzy") as client:
        await client.post("/memories", json={"text": "one"}, headers=KEY)
    with psycopg.connect(dsn.superuser) as conn:
        rows = conn.execute("SELECT i::text FROM idempotency i").fetchall()
    assert len(rows) == 1
    assert "xyzzy" not in rows[0][0]


async def _updated(api: Replica) -> tuple[str, dict[str, Any]]:
    added = await api.client.post("/memories", json={"text": "one"})
    path = f"/memories/{added.json()['results'][0]['id']}"
    return path, (await api.client.put(path, json={"text": "two"}, headers=KEY)).json()


async def _versions(api: Replica, path: str) -> list[int]:
    return [entry["version"] for entry in (await api.client.get(f"{path}/history")).json()]


async def test_a_repeated_update_writes_one_version_and_overwrites_nothing_made_since(api: Replica) -> None:
    path, first = await _updated(api)
    assert (first["memory"], first["version"]) == ("two", 2)
    await api.client.put(path, json={"text": "three"})
    again = await api.client.put(path, json={"text": "two"}, headers=KEY)
    assert (again.status_code, again.json()) == (200, first)
    assert (await api.client.get(path)).json()["memory"] == "three"
    assert await _versions(api, path) == [1, 2, 3]


async def test_a_repeated_update_of_a_version_does_not_meet_itself_as_a_conflict(api: Replica) -> None:
    path, _ = await _updated(api)
    key = {"Idempotency-Key": "order-67"}
    answers = [await api.client.put(path, json={"text": "three", "version": 2}, headers=key) for _ in range(2)]
    assert [a.json().get("version") for a in answers] == [3, 3]


@pytest.mark.parametrize(
    "change", [{"text": "other"}, {"text": "two", "expires_at": None}, {"text": "two", "version": 1}]
)
async def test_another_update_under_the_same_key_is_refused(api: Replica, change: dict[str, object]) -> None:
    path, _ = await _updated(api)
    refused = await api.client.put(path, json=change, headers=KEY)
    assert refused.json()["type"].endswith("/idempotency-conflict")
    another = (await api.client.post("/memories", json={"text": "elsewhere"})).json()["results"][0]["id"]
    for answer in (
        await api.client.put(f"/memories/{another}", json={"text": "two"}, headers=KEY),
        await api.client.post("/memories", json={"text": "two"}, headers=KEY),
    ):
        assert answer.json()["type"].endswith("/idempotency-conflict")
    assert await _versions(api, path) == [1, 2]


async def test_a_repeated_update_of_what_was_deleted_since_is_answered_the_same(api: Replica) -> None:
    path, first = await _updated(api)
    await api.client.delete(path)
    assert (await api.client.put(path, json={"text": "two"}, headers=KEY)).json() == first
    assert (await api.client.get(path)).status_code == 404


async def test_replicas_that_race_update_once_and_answer_the_same(fleet: Fleet) -> None:
    async with fleet.replica() as one, fleet.replica() as two:
        added = await one.client.post("/memories", json={"text": "one"})
        path = f"/memories/{added.json()['results'][0]['id']}"
        answers = await asyncio.gather(*(r.client.put(path, json={"text": "two"}, headers=KEY) for r in (one, two) * 8))
        assert {a.status_code for a in answers} == {200}
        assert len({a.text for a in answers}) == 1
        assert await _versions(one, path) == [1, 2]


async def test_replicas_that_race_store_once_and_answer_the_same(fleet: Fleet) -> None:
    async with fleet.replica() as one, fleet.replica() as two:
        answers = await asyncio.gather(
            *(r.client.post("/memories", json={"text": "tea"}, headers=KEY) for r in (one, two) * 8)
        )
        assert {a.status_code for a in answers} == {200}
        assert len({a.text for a in answers}) == 1
        assert await _count(one) == 1


async def test_a_request_that_failed_leaves_its_key_free(api: Replica) -> None:
    api.embedder.fault = EmbedderUnavailable("away")
    assert (await api.client.post("/memories", json={"text": "one"}, headers=KEY)).status_code == 503
    api.embedder.fault = None
    assert (await api.client.post("/memories", json={"text": "one"}, headers=KEY)).status_code == 200
    assert await _count(api) == 1


async def test_a_replica_that_dies_in_the_transaction_leaves_its_key_free(api: Replica, dsn: Dsn) -> None:
    """Another session holds the key uncommitted, as a replica in the middle of its write does, and is killed."""
    dying = await psycopg.AsyncConnection.connect(dsn.superuser)
    await dying.execute(
        "INSERT INTO idempotency (project, key, request_hash, memory_ids) VALUES ('default', %s, 'x', '{}')",
        (KEY["Idempotency-Key"],),
    )
    waiting = asyncio.create_task(api.client.post("/memories", json={"text": "one"}, headers=KEY))
    with psycopg.connect(dsn.superuser, autocommit=True) as watcher:

        def blocked() -> bool:
            row = watcher.execute(
                """SELECT count(*) FROM pg_stat_activity
                   WHERE wait_event_type = 'Lock' AND datname = current_database()"""
            ).fetchone()
            return row == (1,)

        await until("the request waits for the other session", blocked)
        watcher.execute("SELECT pg_terminate_backend(%s)", (dying.info.backend_pid,))
    assert (await waiting).status_code == 200
    await dying.close()
    assert await _count(api) == 1


@pytest.mark.parametrize("key", ["", "x" * 256, "naïve", "tab\there"])
async def test_a_key_that_cannot_be_one_is_refused(api: Replica, key: str) -> None:
    answer = await api.client.post(
        "/memories", json={"text": "one"}, headers={"Idempotency-Key": key.encode("latin-1")}
    )  # type: ignore[dict-item]
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "Idempotency-Key"


async def test_no_memory_text_stands_among_the_keys(api: Replica, dsn: Dsn) -> None:
    await api.client.post("/memories", json={"text": "xyzzy plugh"}, headers=KEY)
    with psycopg.connect(dsn.superuser) as conn:
        rows = conn.execute("SELECT i::text FROM idempotency i").fetchall()
    assert len(rows) == 1
    assert "xyzzy" not in rows[0][0]
