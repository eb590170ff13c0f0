"""Suspect writes under each policy, and their review."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from .conftest import Dsn, Fleet, MakeKey, Replica
from .support.dump import holding
from .support.waiting import until
from .test_erasure import done

SECRET = "Tr0ub4dor-and-3"
SUSPECT = f"the password is {SECRET}"


async def policy(api: Replica, mode: str) -> None:
    answer = await api.client.put("/policy", json={"quarantine": mode})
    assert answer.status_code == 200, answer.text


async def held(api: Replica, state: str = "held") -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = (await api.client.get("/quarantine", params={"state": state})).json()["results"]
    return results


async def test_off_lets_all_through(api: Replica) -> None:
    await policy(api, "off")
    (memory,) = await api.add(SUSPECT)
    assert "quarantine" not in (await api.client.get(f"/memories/{memory['id']}")).json()["provenance"]


async def test_flag_marks_and_a_search_can_leave_it_out(api: Replica) -> None:
    await policy(api, "flag")
    marked, clean = (await api.add(SUSPECT))[0], (await api.add("the password was forgotten"))[0]
    provenance = (await api.client.get(f"/memories/{marked['id']}")).json()["provenance"]
    assert provenance == {"key": "admin", "verbatim": True, "quarantine": ["password"]}
    assert {m["id"] for m in await api.search("the password")} == {marked["id"], clean["id"]}
    assert [m["id"] for m in await api.search("the password", quarantined=False)] == [clean["id"]]
    answer = await api.client.put(f"/memories/{clean['id']}", json={"text": SUSPECT})
    assert answer.status_code == 200
    assert await api.search("the password", quarantined=False) == []


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("POST", "/memories", {"messages": [{"role": "user", "content": SUSPECT}]}, "messages.0.content"),
        ("POST", "/memories", {"text": "fine", "metadata": {"a": [SUSPECT]}}, "metadata.a.0"),
        ("POST", "/v3/memories/add/", {"messages": SUSPECT, "user_id": "u"}, "messages"),
        ("PUT", "/memories/{id}", {"text": SUSPECT}, "text"),
        ("PUT", "/v1/memories/{id}/", {"text": SUSPECT}, "text"),
        ("PUT", "/v1/batch/", {"memories": [{"memory_id": "{id}", "text": SUSPECT}]}, "memories.0.text"),
    ],
)
async def test_refuse_names_kind_and_field_and_never_the_secret(
    api: Replica, dsn: Dsn, method: str, path: str, body: dict[str, Any], field: str
) -> None:
    await policy(api, "refuse")
    (memory,) = await api.add("ordinary")
    if "memories" in body:
        body = {"memories": [{"memory_id": memory["id"], "text": SUSPECT}]}
    answer = await api.client.request(method, path.replace("{id}", memory["id"]), json=body)
    assert (answer.status_code, answer.json()["type"].rsplit("/", 1)[1]) == (400, "quarantined")
    assert "password" in answer.json()["detail"]
    assert answer.json()["errors"][0]["field"] == field
    assert SECRET not in answer.text
    assert holding(dsn.superuser, SECRET) == {}


async def test_hold_keeps_it_from_all_reads_until_it_is_released(graphed: Replica, dsn: Dsn) -> None:
    await policy(graphed, "hold")
    (clean,) = await graphed.add("ordinary", user_id="u")
    added = await _add(graphed, user_id="u")
    assert added.status_code == 202
    (answer,) = added.json()["results"]
    assert (answer["event"], answer["findings"][0]["kind"]) == ("HELD", "password")
    assert SECRET not in added.text
    assert set(holding(dsn.superuser, SECRET)) == {"held"}
    assert [m["id"] for m in await graphed.search("password ordinary")] == [clean["id"]]
    (waiting,) = await held(graphed)
    assert waiting["request"]["text"] == SUSPECT
    for _ in range(2):
        released = (await graphed.client.post(f"/quarantine/{answer['review_id']}/release")).json()
        assert released["state"] == "released"
        assert released["request"] is None
    memory = (await graphed.client.get(f"/memories/{released['memory_ids'][0]}")).json()
    assert (memory["memory"], memory["user_id"], memory["provenance"]["quarantine"]) == (SUSPECT, "u", ["password"])
    assert len((await graphed.client.get("/memories")).json()["results"]) == 2
    assert (await graphed.client.post(f"/quarantine/{answer['review_id']}/reject")).status_code == 409
    lines = (await graphed.client.get("/audit", params={"action": "quarantine"})).json()["results"]
    assert [line["action"] for line in lines] == ["quarantine.released", "quarantine.read", "quarantine.held"]
    assert SECRET not in str(lines)


async def test_a_rejected_write_is_gone(api: Replica, dsn: Dsn) -> None:
    await policy(api, "hold")
    (answer,) = (await _add(api)).json()["results"]
    rejected = await api.client.post(f"/quarantine/{answer['review_id']}/reject")
    assert rejected.json()["state"] == "rejected"
    assert holding(dsn.superuser, SECRET) == {}
    assert (await api.client.post(f"/quarantine/{answer['review_id']}/release")).status_code == 409


async def test_a_held_update_changes_its_memory_when_it_is_released(api: Replica) -> None:
    await policy(api, "hold")
    (memory,) = await api.add("ordinary")
    answer = await api.client.put(f"/memories/{memory['id']}", json={"text": SUSPECT})
    assert answer.status_code == 202
    assert (await api.client.get(f"/memories/{memory['id']}")).json()["memory"] == "ordinary"
    await api.client.post(f"/quarantine/{answer.json()['results'][0]['review_id']}/release")
    assert (await api.client.get(f"/memories/{memory['id']}")).json()["memory"] == SUSPECT


async def test_a_repeated_request_is_held_once(api: Replica) -> None:
    await policy(api, "hold")
    ids = {(await _add(api, key="k")).json()["results"][0]["review_id"] for _ in range(2)}
    assert len(ids) == len(await held(api)) == 1


async def test_a_repeated_update_is_held_once(api: Replica) -> None:
    await policy(api, "hold")
    (memory,) = await api.add("ordinary")
    answers = [
        await api.client.put(f"/memories/{memory['id']}", json={"text": SUSPECT}, headers={"Idempotency-Key": "k"})
        for _ in range(2)
    ]
    assert len({answer.json()["results"][0]["review_id"] for answer in answers}) == len(await held(api)) == 1


async def _hold_one(api: Replica, client: httpx.AsyncClient, kind: str) -> str:
    """Have a write of this kind held; its review's id."""
    if kind == "add":
        answer = await client.post("/memories", json={"text": SUSPECT})
    elif kind == "update":
        (memory,) = await api.add("ordinary")
        answer = await client.put(f"/memories/{memory['id']}", json={"text": SUSPECT})
    else:
        line = {"id": str(uuid4()), "memory": SUSPECT}
        lines = [{"format": "memsys-export", "version": 1}, line, {"end": True, "versions": 1}]
        answer = await client.post("/import", content="\n".join(map(json.dumps, lines)))
    assert answer.status_code in (200, 202), answer.text
    (one,) = await held(api)
    return str(one["id"])


@pytest.mark.parametrize("kind", ["add", "update", "import"])
@pytest.mark.parametrize("second", ["release", "reject"])
async def test_of_two_decisions_at_once_one_stands(
    api: Replica, keyed: MakeKey, dsn: Dsn, kind: str, second: str
) -> None:
    await policy(api, "hold")
    async with keyed(rights=["read", "write", "admin"]) as writer:
        review = f"/quarantine/{await _hold_one(api, writer, kind)}"
    with psycopg.connect(dsn.superuser) as conn:
        conn.execute("LOCK TABLE outbox IN SHARE MODE")  # no write ends while this is held
        first = asyncio.create_task(api.client.post(f"{review}/release"))
        await until("the write is under way", lambda: blocked(dsn) == 1)
        if second == "reject":
            assert (await api.client.post(f"{review}/reject")).json()["state"] == "rejected"
        else:
            also = asyncio.create_task(api.client.post(f"{review}/release"))
            await until("the other one is as well", lambda: blocked(dsn) == 2)
    answer = await first
    stored = [m["memory"] for m in (await api.client.get("/memories")).json()["results"]]
    if second == "reject":
        assert (answer.status_code, answer.json()["type"].rsplit("/", 1)[1]) == (409, "reviewed")
        assert SUSPECT not in stored
        return
    assert [(a.status_code, a.json()["state"]) for a in (answer, await also)] == [(200, "released")] * 2
    assert stored == [SUSPECT]
    (memory_id,) = answer.json()["memory_ids"]
    history = (await api.client.get(f"/memories/{memory_id}/history")).json()
    assert [entry["new_memory"] for entry in history].count(SUSPECT) == 1
    lines = (await api.client.get("/audit")).json()["results"]
    wrote, decided = (next(x for x in lines if x["action"].startswith(what)) for what in ("memory.", "quarantine.rel"))
    assert wrote["actor"] != decided["actor"] == "admin"


def blocked(dsn: Dsn) -> int:
    """How many wait for a lock."""
    with psycopg.connect(dsn.superuser) as conn:
        return conn.execute(
            "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        ).rowcount


async def test_what_is_held_is_erased_with_its_user(fleet: Fleet, dsn: Dsn) -> None:
    async with fleet.replica() as api:
        await policy(api, "hold")
        await _add(api, user_id="ann")
        assert holding(dsn.superuser, SECRET) == {"held": 1}
        answer = await api.client.post("/erasures", json={"user_id": "ann"})
        receipt = (await done(api, answer.json()["id"]))["receipt"]
        assert receipt["removed"]["postgres"]["held"] == 1
        assert holding(dsn.superuser, SECRET) == {}


async def _add(api: Replica, key: str | None = None, **scope: str) -> httpx.Response:
    headers = {"Idempotency-Key": key} if key else {}
    return await api.client.post("/memories", json={"text": SUSPECT, **scope}, headers=headers)
