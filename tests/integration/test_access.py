"""Keys, rights and scopes over HTTP."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx
import pytest

from .conftest import ADMIN_KEY, Fleet, MakeKey, Replica
from .support.measured import measured
from .support.waiting import until


@pytest.mark.parametrize(
    "form", ["Authorization: Bearer {}", "Authorization: Token {}", "authorization: bearer {}", "X-API-Key: {}"]
)
async def test_a_key_may_come_in_any_of_the_three_forms(api: Replica, form: str) -> None:
    name, _, value = form.format(ADMIN_KEY).partition(": ")
    async with httpx.AsyncClient(transport=api.client._transport, base_url="http://memsys") as client:
        assert (await client.get("/info", headers={name: value})).status_code == 200


@pytest.mark.parametrize("key", [{}, {"X-API-Key": "msk_wrong"}], ids=["no key", "a wrong key"])
@pytest.mark.parametrize("announced", [{}, {"Content-Length": "1000000"}], ids=["in chunks", "announced"])
async def test_the_body_of_whoever_has_no_key_is_not_read(
    api: Replica, key: dict[str, str], announced: dict[str, str]
) -> None:
    read = False

    async def body() -> AsyncIterator[bytes]:
        nonlocal read
        read = True
        yield b" " * 1_000_000

    async with httpx.AsyncClient(transport=api.client._transport, base_url="http://memsys") as client:
        headers = {"Content-Type": "application/json", **key, **announced}
        for path in ("/memories", "/search", "/import", "/v3/memories/add/"):
            refused = measured("memsys_api_refused_total", problem="unauthenticated")
            answer = await client.post(path, content=body(), headers=headers)
            assert (answer.status_code, read) == (401, False), path
            assert answer.headers["WWW-Authenticate"]
            assert measured("memsys_api_refused_total", problem="unauthenticated") == refused + 1


async def test_rights_are_kept_apart(keyed: MakeKey) -> None:
    allowed = {"read": {"GET /memories", "POST /search"}, "write": {"POST /memories"}, "admin": {"GET /keys"}}
    calls = {"GET /memories": None, "POST /search": {"query": "x"}, "POST /memories": {"text": "x"}, "GET /keys": None}
    for right, expected in allowed.items():
        async with keyed(rights=[right]) as client:
            for call, body in calls.items():
                method, path = call.split()
                answer = await client.request(method, path, json=body)
                assert (answer.status_code == 200) == (call in expected), (right, call, answer.text)
                assert answer.status_code in (200, 403)


async def test_a_key_reaches_its_projects_and_no_other(api: Replica, keyed: MakeKey) -> None:
    await api.client.post("/memories", json={"text": "in three"}, headers={"X-Memsys-Project": "three"})
    async with keyed(projects=["one", "two"], default_project="two") as client:
        assert (await client.post("/memories", json={"text": "x"})).json()["results"][0]["project"] == "two"
        in_one = await client.post("/memories", json={"text": "x"}, headers={"X-Memsys-Project": "one"})
        assert in_one.json()["results"][0]["project"] == "one"
        refused = [await client.get("/memories", headers={"X-Memsys-Project": p}) for p in ("three", "never-was")]
        assert {a.status_code for a in refused} == {403}
        assert refused[0].text == refused[1].text
        assert len((await client.get("/memories", headers={"X-Memsys-Project": "one"})).json()["results"]) == 1


async def test_a_foreign_id_cannot_be_told_from_one_that_never_was(api: Replica, keyed: MakeKey) -> None:
    [mine] = await api.add("secret of default", user_id="u")
    async with keyed(projects=["other"]) as stranger, keyed(user_id="v") as neighbour:
        for client in (stranger, neighbour):
            for method, suffix, body in (
                ("GET", "", None), ("PUT", "", {"text": "x"}), ("DELETE", "", None), ("GET", "/history", None),
            ):  # fmt: skip
                absent = str(uuid4())
                real = await client.request(method, f"/memories/{mine['id']}{suffix}", json=body)
                none = await client.request(method, f"/memories/{absent}{suffix}", json=body)
                assert real.status_code == none.status_code == 404
                assert real.text.replace(mine["id"], absent) == none.text
                assert {*real.headers} == {*none.headers}
    assert (await api.client.get(f"/memories/{mine['id']}")).json()["memory"] == "secret of default"


@pytest.mark.parametrize("field", ["user_id", "agent_id"])
async def test_a_key_granted_for_one_user_or_agent_never_leaves_it(api: Replica, keyed: MakeKey, field: str) -> None:
    await api.add("theirs", **{field: "other"})
    async with keyed(**{field: "me"}) as client:
        [added] = (await client.post("/memories", json={"text": "mine"})).json()["results"]
        assert (await client.get(f"/memories/{added['id']}")).json()[field] == "me"
        assert [m["memory"] for m in (await client.get("/memories")).json()["results"]] == ["mine"]
        found = (await client.post("/search", json={"query": "mine theirs"})).json()["results"]
        assert [m["memory"] for m in found] == ["mine"]
        for method, path, body in (
            ("POST", "/memories", {"text": "x", field: "other"}),
            ("GET", f"/memories?{field}=other", None),
            ("DELETE", f"/memories?{field}=other", None),
            ("POST", "/search", {"query": "x", field: "other"}),
            ("POST", "/search", {"query": "x", "filters": {field: "other"}}),
        ):
            answer = await client.request(method, path, json=body)
            assert answer.status_code == 403, (method, path)
            assert answer.json()["errors"][0]["field"] == field
    assert len((await api.client.get("/memories", params={field: "other"})).json()["results"]) == 1


@pytest.mark.parametrize("path", ["/memories", "/v1/memories/"])
async def test_what_a_key_is_granted_for_is_no_wish_to_delete_it(api: Replica, keyed: MakeKey, path: str) -> None:
    await api.add("mine", user_id="me")
    async with keyed(user_id="me") as client:
        answer = await client.delete(path)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "user_id")
        assert len((await client.get("/memories")).json()["results"]) == 1
        assert (await client.delete(path, params={"user_id": "me"})).json()["deleted"] == 1


async def test_a_revoked_key_ends_on_every_replica_within_two_seconds(fleet: Fleet) -> None:
    async with fleet.replica() as one, fleet.replica() as two:
        made = (await one.client.post("/keys", json={"name": "k", "projects": ["default"]})).json()
        async with one.as_key(made["key"]) as at_one, two.as_key(made["key"]) as at_two:
            assert (await at_one.get("/memories")).status_code == (await at_two.get("/memories")).status_code == 200
            assert (await one.client.delete(f"/keys/{made['id']}")).status_code == 200
            begun = time.monotonic()
            assert (await at_one.get("/memories")).status_code == 401

            async def refused() -> bool:
                return (await at_two.get("/memories")).status_code == 401

            await until("the other replica refuses the key", refused, 2)
            assert time.monotonic() - begun <= 2
        assert (await one.client.delete(f"/keys/{made['id']}")).status_code == 404
        assert (await two.client.get("/keys")).json() == []


async def test_an_expired_key_is_refused(api: Replica, keyed: MakeKey) -> None:
    async with keyed(expires_at=(datetime.now(UTC) + timedelta(seconds=1)).isoformat()) as client:

        async def refused() -> bool:
            return (await client.get("/memories")).status_code == 401

        await until("the key expires", refused)


async def test_a_secret_is_shown_once_and_stored_hashed(api: Replica) -> None:
    made = (await api.client.post("/keys", json={"name": "k", "projects": ["default"]})).json()
    assert made["key"].startswith(f"msk_{made['id']}_")
    listed = (await api.client.get("/keys")).json()
    assert [k["id"] for k in listed] == [made["id"]]
    assert made["key"].rsplit("_", 1)[1] not in (await api.client.get("/keys")).text


@pytest.mark.parametrize(("asked", "field"), [
    ({"projects": ["mine", "yours"]}, "projects"),
    ({"projects": ["mine"], "user_id": "other"}, "user_id"),
    ({"projects": ["mine"], "rights": ["write"]}, "rights"),
])  # fmt: skip
async def test_a_key_cannot_make_one_that_grants_more(keyed: MakeKey, asked: dict[str, object], field: str) -> None:
    async with keyed(projects=["mine"], user_id="me", rights=["admin", "read"]) as client:
        refused = await client.post("/keys", json={"name": "child", **asked})
        assert refused.status_code == 403
        assert field in [e["field"] for e in refused.json()["errors"]]
        child = await client.post("/keys", json={"name": "child", "projects": ["mine"], "rights": ["read"]})
        assert child.status_code == 201
        assert child.json()["user_id"] == "me"


async def test_an_admin_of_one_project_sees_and_ends_only_its_keys(api: Replica, keyed: MakeKey) -> None:
    theirs = (await api.client.post("/keys", json={"name": "theirs", "projects": ["yours"]})).json()
    wider = (await api.client.post("/keys", json={"name": "wider", "projects": ["mine", "yours"]})).json()
    async with keyed(projects=["mine"], rights=["admin"]) as client:
        assert {k["name"] for k in (await client.get("/keys")).json()} == {"test"}
        for key in (theirs, wider):
            assert (await client.delete(f"/keys/{key['id']}")).status_code == 404


@pytest.mark.parametrize("name", ["", "UPPER", "-a", "a-", "a/b", "x" * 101, "..", "a b"])
async def test_a_name_no_project_can_have_is_refused(api: Replica, name: str) -> None:
    answer = await api.client.get("/memories", headers={"X-Memsys-Project": name})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "X-Memsys-Project"
