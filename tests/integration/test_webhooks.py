"""Webhooks against a real receiver: told of everything that was asked for, once recorded, in order, whoever fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from cryptography.fernet import Fernet

from memsys_api.sinks.attempts import ATTEMPTS
from memsys_api.sinks.webhooks.sender import Sender
from memsys_api.store import retention, webhook_deliveries

from .conftest import Dsn, Fleet, MakeKey, Replica
from .support.by_hand import by_hand
from .support.erasing import erase
from .support.receiver import Answer, Receiver
from .support.waiting import until
from .support.webhooks import LOOPBACK, deliveries, in_state, register, replay


@pytest.fixture
async def api(fleet: Fleet) -> AsyncIterator[Replica]:
    async with fleet.replica(**LOOPBACK) as replica:
        yield replica


async def test_a_memory_s_changes_are_told_in_order_signed_and_without_text(api: Replica, receiver: Receiver) -> None:
    webhook = await register(api, receiver.url())
    (added,) = await api.add("Alice likes tea", user_id="u")
    for number in range(5):
        answer = await api.client.put(f"/memories/{added['id']}", json={"text": f"Alice likes tea {number}"})
        assert answer.status_code == 200
    assert (await api.client.delete(f"/memories/{added['id']}")).status_code == 200
    await until("all seven changes were told", lambda: len(receiver.calls) == 7)
    assert [(call.data["event"], call.data["version"]) for call in receiver.calls] == [
        ("added", 1), *(("updated", version) for version in range(2, 7)), ("deleted", 7),
    ]  # fmt: skip
    assert all(call.signed_by(webhook["secret"]) for call in receiver.calls)
    assert len({call.id for call in receiver.calls}) == 7
    assert receiver.calls[0].data == {
        "event_id": receiver.calls[0].data["event_id"], "event": "added", "project": "default",
        "memory_id": added["id"], "version": 1, "user_id": "u", "agent_id": None, "app_id": None, "run_id": None,
    }  # fmt: skip
    assert not any(b"tea" in call.body for call in receiver.calls)
    await in_state(api, webhook, "delivered", 7)
    assert "memsys_webhook_deliveries_total" in (await api.client.get("/metrics")).text


async def test_text_is_sent_where_it_was_asked_for_and_never_of_what_is_deleted(
    api: Replica, receiver: Receiver
) -> None:
    webhook = await register(api, receiver.url(), include=["memory"])
    (added,) = await api.add("Alice likes tea", user_id="u")
    await until("it was told", lambda: len(receiver.calls) == 1)
    assert receiver.calls[0].data["memory"] == "Alice likes tea"
    await api.client.delete(f"/memories/{added['id']}")
    await until("its end was told", lambda: len(receiver.calls) == 2)
    assert receiver.calls[1].data["memory"] is None
    await in_state(api, webhook, "delivered", 2)
    assert await replay(api, webhook, event_id=receiver.calls[0].data["event_id"]) == 1
    await until("the first was told again", lambda: len(receiver.calls) == 3)
    assert receiver.calls[2].id == receiver.calls[0].id
    assert receiver.calls[2].data["memory"] is None


async def test_only_the_events_and_the_scope_that_were_asked_for_are_told(api: Replica, receiver: Receiver) -> None:
    await register(api, receiver.url("/deleted"), events=["deleted"])
    await register(api, receiver.url("/u"), user_id="u")
    await register(api, receiver.url("/all"))
    (mine,) = await api.add("Alice likes tea", user_id="u")
    (other,) = await api.add("Bob likes tea", user_id="v")
    await api.client.delete("/memories", params={"user_id": "v"})
    elsewhere = await api.client.post("/memories", json={"text": "x"}, headers={"X-Memsys-Project": "elsewhere"})
    assert elsewhere.status_code == 200
    await until("all was told", lambda: len(receiver.calls) == 5)

    def told(path: str) -> set[tuple[str, str]]:
        return {(call.data["event"], call.data["memory_id"]) for call in receiver.at(path)}

    assert told("/deleted") == {("deleted", other["id"])}
    assert told("/u") == {("added", mine["id"])}
    assert told("/all") == {("added", mine["id"]), ("added", other["id"]), ("deleted", other["id"])}


async def test_seven_attempts_then_parked_with_the_reason_and_replayed(api: Replica, receiver: Receiver) -> None:
    receiver.answer = lambda _: Answer(500)
    webhook = await register(api, receiver.url())
    await api.add("Alice likes tea", user_id="u")
    await in_state(api, webhook, "parked", 1)
    assert len(receiver.calls) == ATTEMPTS
    assert len({call.id for call in receiver.calls}) == 1
    (parked,) = await deliveries(api, webhook)
    assert (parked["attempts"], parked["status"], parked["error"]) == (7, 500, "answered 500")
    receiver.answer = lambda _: Answer()
    await api.add("Alice likes coffee", user_id="u")
    await in_state(api, webhook, "delivered", 1)
    assert (await deliveries(api, webhook, state="parked"))[0]["event_id"] == parked["event_id"]  # refused: it waits
    status = await webhook_deliveries.status(api.service.database)
    assert (status.parked, status.lag_seconds) == (1, 0.0), "what does not follow by itself is no lag"
    assert await replay(api, webhook) == 1
    await in_state(api, webhook, "delivered", 2)
    assert await replay(api, webhook) == 0


async def test_what_was_missed_while_the_endpoint_was_away_follows_when_it_answers(
    api: Replica, receiver: Receiver
) -> None:
    receiver.answer = lambda _: Answer(503)
    webhook = await register(api, receiver.url())
    await api.add("Alice likes tea", user_id="u")
    await in_state(api, webhook, "parked", 1)
    assert (await webhook_deliveries.status(api.service.database)).lag_seconds > 0
    receiver.answer = lambda _: Answer()
    await api.add("Alice likes coffee", user_id="u")
    await in_state(api, webhook, "delivered", 2)


async def test_an_endpoint_that_hangs_holds_up_nobody_else(fleet: Fleet, receiver: Receiver) -> None:
    receiver.answer = lambda call: Answer(hang=call.path == "/hangs")
    async with fleet.replica(**LOOPBACK, WEBHOOK_TIMEOUT_SECONDS=5) as api:
        hanging = await register(api, receiver.url("/hangs"))
        for _ in range(20):
            await api.add("Alice likes tea", user_id="u")
        await until("it hangs", lambda: len(receiver.at("/hangs")) >= 1)
        quick = await register(api, receiver.url("/quick"))
        begun = asyncio.get_running_loop().time()
        for _ in range(20):
            await api.add("Alice likes coffee", user_id="u")
        await in_state(api, quick, "delivered", 20)
        assert asyncio.get_running_loop().time() - begun < 5
        assert not await deliveries(api, hanging, state="delivered")
        assert len(receiver.at("/hangs")) <= 4


async def test_a_dispatcher_that_dies_after_the_call_leaves_it_to_another_under_the_same_id(
    fleet: Fleet, receiver: Receiver, dsn: Dsn, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = Sender.post
    dead = asyncio.Event()

    async def dying(self: Sender, *rest: Any) -> Any:
        await inner(self, *rest)
        monkeypatch.setattr(Sender, "post", inner)
        dead.set()
        await asyncio.Event().wait()  # posted, and never recorded

    async with fleet.replica(**LOOPBACK) as one:
        webhook = await register(one, receiver.url())
        monkeypatch.setattr(Sender, "post", dying)
        (added,) = await one.add("Alice likes tea", user_id="u")
        await until("it was posted", dead.is_set)
        answer = await one.client.put(f"/memories/{added['id']}", json={"text": "Alice likes coffee"})
        assert answer.status_code == 200
        async with fleet.replica(**LOOPBACK) as two:
            assert len(receiver.calls) == 1
            await by_hand(dsn.superuser, "UPDATE webhook_deliveries SET leased_until = now() WHERE lease IS NOT NULL")
            await in_state(two, webhook, "delivered", 2)
            assert [(call.id, call.data["version"]) for call in receiver.calls] == [
                (receiver.calls[0].id, 1),
                (receiver.calls[0].id, 1),
                (receiver.calls[2].id, 2),
            ]


async def test_replicas_share_the_work_and_none_does_it_twice(fleet: Fleet, receiver: Receiver) -> None:
    async with fleet.replica(**LOOPBACK) as one, fleet.replica(**LOOPBACK) as two:
        webhook = await register(one, receiver.url())
        ids = [(await api.add("Alice likes tea", user_id="u"))[0]["id"] for api in (one, two) * 10]
        for memory_id in ids:
            await two.client.delete(f"/memories/{memory_id}")
        await in_state(one, webhook, "delivered", 40)
        assert len(receiver.calls) == 40
        for memory_id in ids:
            assert [c.data["version"] for c in receiver.calls if c.data["memory_id"] == memory_id] == [1, 2]


async def test_a_webhook_is_paused_changed_and_deleted(api: Replica, receiver: Receiver) -> None:
    webhook = await register(api, receiver.url("/old"))
    path = f"/webhooks/{webhook['id']}"
    receiver.answer = lambda _: Answer(500)
    await api.add("Alice likes tea", user_id="u")
    await until("the first attempt was made", lambda: len(receiver.calls) >= 1)
    assert (await api.client.patch(path, json={"active": False})).json()["active"] is False
    await in_state(api, webhook, "parked", 1)
    receiver.answer = lambda _: Answer()
    secret = "whsec_" + "A" * 32
    changed = await api.client.patch(path, json={"active": True, "url": receiver.url("/new"), "secret": secret})
    assert changed.status_code == 200
    assert "secret" not in changed.json()
    await replay(api, webhook)
    await in_state(api, webhook, "delivered", 1)
    assert receiver.at("/new")[0].signed_by(secret)
    assert not receiver.at("/new")[0].signed_by(webhook["secret"])
    assert (await api.client.patch(path, json={})).status_code == 400
    assert (await api.client.delete(path)).json()["deleted"] == 1
    for gone in (api.client.get(path), api.client.delete(path), api.client.get(f"{path}/deliveries")):
        assert (await gone).status_code == 404
    assert (await api.client.get("/webhooks")).json() == {"results": []}


async def test_what_happens_while_a_webhook_is_switched_off_is_told_by_a_replay_alone(
    api: Replica, receiver: Receiver
) -> None:
    webhook = await register(api, receiver.url())
    path = f"/webhooks/{webhook['id']}"
    await api.client.patch(path, json={"active": False})
    since = datetime.now(UTC).isoformat()
    await api.add("said meanwhile", user_id="u")
    await api.client.patch(path, json={"active": True})
    await api.add("said then", user_id="u")
    await in_state(api, webhook, "delivered", 1)
    assert await replay(api, webhook, since=since) == 2
    await in_state(api, webhook, "delivered", 2)


async def test_a_replay_tells_a_narrow_webhook_of_what_an_erasure_took(api: Replica, receiver: Receiver) -> None:
    since = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
    for user in ("u", "v"):
        await api.add("tea", user_id=user)
        await erase(api, user_id=user)
    webhook = await register(api, receiver.url(), user_id="u")
    assert await replay(api, webhook, since=since) == 1
    await in_state(api, webhook, "delivered", 1)
    assert [(call.data["event_id"], call.data["user_id"]) for call in receiver.calls] == [(2, "u")]


async def test_what_happened_before_a_webhook_was_there_can_be_told_since_a_time(
    api: Replica, receiver: Receiver
) -> None:
    since = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
    for number in range(3):
        await api.add(f"Alice likes tea {number}", user_id="u")
    webhook = await register(api, receiver.url())
    assert await replay(api, webhook, since=datetime.now(UTC).isoformat()) == 0
    assert await replay(api, webhook, since=since) == 3
    await in_state(api, webhook, "delivered", 3)
    answer = await api.client.post(f"/webhooks/{webhook['id']}/replay", json={"event_id": 999_999})
    assert answer.status_code == 404
    page = await api.client.get(f"/webhooks/{webhook['id']}/deliveries", params={"limit": 2})
    rest = await api.client.get(
        f"/webhooks/{webhook['id']}/deliveries", params={"limit": 2, "cursor": page.json()["next_cursor"]}
    )
    assert [len(answer.json()["results"]) for answer in (page, rest)] == [2, 1]
    assert rest.json()["next_cursor"] is None


async def test_a_webhook_belongs_to_its_project_and_to_the_scope_of_who_registered_it(
    api: Replica, receiver: Receiver, keyed: MakeKey
) -> None:
    webhook = await register(api, receiver.url())
    path = f"/webhooks/{webhook['id']}"
    everything = ["read", "write", "admin"]
    async with keyed(rights=["read", "write"]) as writer, keyed(projects=["other"], rights=everything) as stranger:
        assert (await writer.get("/webhooks")).status_code == 403
        assert (await writer.post("/webhooks", json={"url": receiver.url()})).status_code == 403
        assert (await stranger.get("/webhooks")).json() == {"results": []}
        for answer in (stranger.get(path), stranger.patch(path, json={"active": False}), stranger.delete(path),
                       stranger.post(f"{path}/replay", json={}), stranger.get(f"{path}/deliveries")):  # fmt: skip
            assert (await answer).status_code == 404
    async with keyed(user_id="u", rights=everything) as bound:
        assert (await bound.get(path)).status_code == 404
        assert (await bound.post("/webhooks", json={"url": receiver.url(), "user_id": "v"})).status_code == 403
        own = await bound.post("/webhooks", json={"url": receiver.url("/own")})
        assert own.json()["user_id"] == "u"
    await api.add("Bob likes tea", user_id="v")
    await api.add("Alice likes tea", user_id="u")
    await until("both were told to the project's, one to the user's", lambda: len(receiver.calls) == 3)
    assert [call.data["user_id"] for call in receiver.at("/own")] == ["u"]


async def test_secrets_are_sealed_where_there_is_a_key_and_a_lost_key_is_named(
    fleet: Fleet, receiver: Receiver, dsn: Dsn
) -> None:
    key = Fernet.generate_key().decode()
    async with fleet.replica(**LOOPBACK, WEBHOOK_SECRET_KEYS=key) as api:
        webhook = await register(api, receiver.url())
        await api.add("Alice likes tea", user_id="u")
        await in_state(api, webhook, "delivered", 1)
        assert receiver.calls[0].signed_by(webhook["secret"])
    with psycopg.connect(dsn.superuser) as conn:
        stored = conn.execute("SELECT secret FROM webhooks").fetchone()
    assert stored is not None
    assert webhook["secret"] not in stored[0]
    async with fleet.replica(**LOOPBACK) as api:
        await api.add("Alice likes coffee", user_id="u")
        await in_state(api, webhook, "parked", 1)
        assert "WEBHOOK_SECRET_KEYS" in (await deliveries(api, webhook, state="parked"))[0]["error"]
        assert len(receiver.calls) == 1


async def test_switched_off_nothing_is_sent_nor_registered(fleet: Fleet, receiver: Receiver) -> None:
    async with fleet.replica(**LOOPBACK) as api:
        await register(api, receiver.url())
    async with fleet.replica(**LOOPBACK, WEBHOOKS_ENABLED=False) as api:
        await api.add("Alice likes tea", user_id="u")
        for answer in (api.client.get("/webhooks"), api.client.post("/webhooks", json={"url": receiver.url()})):
            assert (await answer).status_code == 501
        assert api.service.webhooks is None
        assert receiver.calls == []


async def test_a_project_has_a_limited_number_of_webhooks(
    api: Replica, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("memsys_api.routes.webhooks.MOST", 2)
    answers = await asyncio.gather(*(api.client.post("/webhooks", json={"url": receiver.url()}) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [201, 201, 409, 409]


async def test_what_is_past_its_time_is_forgotten(api: Replica, receiver: Receiver, dsn: Dsn) -> None:
    webhook = await register(api, receiver.url())
    await api.add("Alice likes tea", user_id="u")
    await api.add("Alice likes coffee", user_id="u")
    await in_state(api, webhook, "delivered", 2)
    with psycopg.connect(dsn.superuser) as conn:
        conn.execute("UPDATE webhook_deliveries SET created_at = now() - interval '8 days' WHERE memory_id IN "
                     "(SELECT id FROM memory_versions WHERE text = 'Alice likes tea')")  # fmt: skip
    assert await retention.sweep(api.service.database) == 1
    assert len(await deliveries(api, webhook)) == 1
    status = await webhook_deliveries.status(api.service.database)
    assert (status.pending, status.parked, status.lag_seconds) == (0, 0, 0.0)
