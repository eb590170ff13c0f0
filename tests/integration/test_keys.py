"""Keys over their life: declared, rotated, narrowed, expired, revoked; on every replica within two seconds."""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from .conftest import Fleet, MakeKey, Replica
from .support.waiting import until

ID = "abcdefghijkl"
SECRET = "0123456789" * 3 + "ab"
KEY = f"msk_{ID}_{SECRET}"


def sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def declared(*secrets: str, **fields: Any) -> dict[str, Any]:
    return {"name": "declared", "projects": ["default"], "secrets": [{"sha256": sha256(s)} for s in secrets]} | fields


@pytest.fixture
async def pair(fleet: Fleet) -> AsyncIterator[tuple[Replica, Replica]]:
    async with fleet.replica() as one, fleet.replica() as two:
        yield one, two


async def _status(client: httpx.AsyncClient) -> int:
    return (await client.post("/memories", json={"text": "x"})).status_code


@pytest.mark.parametrize(("change", "status"), [
    (lambda api: api.client.delete(f"/keys/{ID}"), 401),
    (lambda api: api.client.put(f"/keys/{ID}", json=declared(SECRET, rights=["read"])), 403),
    (lambda api: api.client.put(f"/keys/{ID}", json=declared(SECRET, projects=["other"])), 200),
    (lambda api: api.client.put(f"/keys/{ID}", json=declared("another" + "x" * 25)), 401),
    (lambda api: api.client.post(f"/keys/{ID}/rotate", json={"overlap_seconds": 0}), 401),
    (lambda api: api.client.put(f"/keys/{ID}", json=declared(SECRET, expires_at=_soon())), 401),
], ids=["revoked", "narrowed", "moved", "another secret", "rotated at once", "expired"])  # fmt: skip
async def test_a_changed_key_is_changed_on_every_replica_within_two_seconds(
    pair: tuple[Replica, Replica], change: Callable[[Replica], Awaitable[httpx.Response]], status: int
) -> None:
    one, two = pair
    assert (await one.client.put(f"/keys/{ID}", json=declared(SECRET))).status_code == 200
    async with one.as_key(KEY, **{"X-Memsys-Project": "default"}) as at_one, two.as_key(KEY) as at_two:
        assert (await _status(at_one), await _status(at_two)) == (200, 200)
        assert (await change(one)).status_code == 200
        begun = time.monotonic()

        async def followed() -> bool:
            answer = await at_two.post("/memories", json={"text": "x"})
            if status == 200:
                return bool(answer.json()["results"][0]["project"] == "other")
            return answer.status_code == status

        await until("the other replica goes by the change", followed, 2)
        assert time.monotonic() - begun <= 2
        if status != 200:

            async def here_too() -> bool:
                return await _status(at_one) == status

            await until("the replica itself does", here_too, 2)


def _soon() -> str:
    return (datetime.now(UTC) + timedelta(milliseconds=500)).isoformat()


async def test_a_rotated_key_has_two_secrets_for_the_overlap(pair: tuple[Replica, Replica]) -> None:
    one, two = pair
    made = (await one.client.post("/keys", json={"name": "k", "projects": ["default"]})).json()
    ends = time.monotonic() + 3
    rotated = await one.client.post(f"/keys/{made['id']}/rotate", json={"overlap_seconds": 3})
    assert rotated.status_code == 200, rotated.text
    assert rotated.json()["key"].startswith(f"msk_{made['id']}_")
    assert [secret["expires_at"] is None for secret in rotated.json()["secrets"]] == [True, False]
    async with two.as_key(made["key"]) as old, two.as_key(rotated.json()["key"]) as new:
        await until("the new secret is known", lambda: _ok(new), 2)
        assert await _ok(old)

        async def refused() -> bool:
            return not await _ok(old)

        await until("the old secret has ended", refused, 5)
        assert time.monotonic() >= ends
        assert await _ok(new)
    assert len((await one.client.get("/keys")).json()[0]["secrets"]) == 1


async def _ok(client: httpx.AsyncClient) -> bool:
    return (await client.get("/memories")).status_code == 200


async def test_a_rotation_brings_no_secret_back_and_keeps_few(api: Replica) -> None:
    await api.client.put(f"/keys/{ID}", json=declared(SECRET))
    for _ in range(7):
        answer = await api.client.post(f"/keys/{ID}/rotate", json={"overlap_seconds": 100})
    assert len(answer.json()["secrets"]) == 5
    async with api.as_key(KEY) as first:
        assert await _status(first) == 401
    ends = [s["expires_at"] for s in answer.json()["secrets"][1:]]
    again = (await api.client.post(f"/keys/{ID}/rotate", json={"overlap_seconds": 200})).json()
    assert [s["expires_at"] for s in again["secrets"][2:]] == ends[:3]


async def test_a_key_is_declared_as_often_as_one_likes(api: Replica) -> None:
    for _ in range(2):
        answer = await api.client.put(f"/keys/{ID}", json=declared(SECRET, user_id="u"))
        assert answer.status_code == 200, answer.text
        assert answer.json()["secrets"] == [{"fingerprint": sha256(SECRET)[:12], "expires_at": None}]
    assert [key["id"] for key in (await api.client.get("/keys")).json()] == [ID]
    async with api.as_key(KEY) as client:
        assert await _status(client) == 200
    await api.client.delete(f"/keys/{ID}")
    raised = await api.client.put(f"/keys/{ID}", json=declared(SECRET))
    assert raised.status_code == 409
    assert raised.json()["type"].endswith("/key-conflict")


@pytest.mark.parametrize(("key_id", "body", "field"), [
    ("short", declared(SECRET), "key_id"),
    (ID, declared(), "secrets"),
    (ID, declared(SECRET) | {"secrets": [{"sha256": SECRET}]}, "secrets.0.sha256"),
    (ID, declared(subject="system:node:n"), "subject"),
])  # fmt: skip
async def test_what_is_no_declaration_is_refused_by_name(
    api: Replica, key_id: str, body: dict[str, Any], field: str
) -> None:
    refused = await api.client.put(f"/keys/{key_id}", json=body)
    assert refused.status_code == 400
    assert refused.json()["errors"][0]["field"] == field


async def test_only_the_server_s_administrator_declares_keys_and_sets_their_rate(keyed: MakeKey) -> None:
    async with keyed(rights=["read", "write", "admin"]) as admin:
        assert (await admin.put(f"/keys/{ID}", json=declared(SECRET))).status_code == 403
        faster = await admin.post("/keys", json={"name": "k", "projects": ["default"], "requests_per_minute": 9})
        assert faster.status_code == 403
        assert faster.json()["errors"][0]["field"] == "requests_per_minute"


async def test_a_key_hands_on_its_own_end_and_rate_and_renews_nothing_wider(api: Replica, keyed: MakeKey) -> None:
    wider = (await api.client.post("/keys", json={"name": "wider", "projects": ["default"]})).json()
    ends = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    async with keyed(rights=["admin", "read"], user_id="u", expires_at=ends, requests_per_minute=600) as admin:
        child = (await admin.post("/keys", json={"name": "c", "projects": ["default"], "rights": ["read"]})).json()
        assert datetime.fromisoformat(child["expires_at"]) == datetime.fromisoformat(ends)
        assert (child["user_id"], child["requests_per_minute"]) == ("u", 600)
        assert {key["name"] for key in (await admin.get("/keys")).json()} == {"test", "c"}
        for call in (admin.post(f"/keys/{wider['id']}/rotate", json={}), admin.delete(f"/keys/{wider['id']}")):
            assert (await call).status_code == 404
        assert (await admin.post(f"/keys/{child['id']}/rotate", json={})).status_code == 200


@pytest.mark.parametrize("field", ["app_id", "run_id"])
async def test_a_key_granted_for_one_application_or_conversation_never_leaves_it(
    api: Replica, keyed: MakeKey, field: str
) -> None:
    await api.add("theirs", **{field: "other"})
    async with keyed(**{field: "me"}) as client:
        [added] = (await client.post("/memories", json={"text": "mine"})).json()["results"]
        assert (await client.get(f"/memories/{added['id']}")).json()[field] == "me"
        assert [m["memory"] for m in (await client.get("/memories")).json()["results"]] == ["mine"]
        assert (await client.get("/memories", params={field: "other"})).status_code == 403
