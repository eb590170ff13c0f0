"""Where a webhook's call may go, and how long an endpoint may hold it."""

from __future__ import annotations

import pytest

from .conftest import Fleet
from .support.receiver import Answer, Receiver
from .support.webhooks import LOOPBACK, deliveries, in_state, register


async def test_a_time_out_an_endless_answer_and_a_redirect_end_a_call(fleet: Fleet, receiver: Receiver) -> None:
    answers = {
        "/hang": Answer(hang=True),
        "/endless": Answer(endless=True),
        "/redirect": Answer(302, {"Location": receiver.url("/target")}),
        "/target": Answer(),
    }
    receiver.answer = lambda call: answers[call.path]
    async with fleet.replica(**LOOPBACK, WEBHOOK_TIMEOUT_SECONDS=0.2) as api:
        hang = await register(api, receiver.url("/hang"))
        endless = await register(api, receiver.url("/endless"))
        redirect = await register(api, receiver.url("/redirect"))
        await api.add("Alice likes tea", user_id="u")
        await in_state(api, endless, "delivered", 1)  # its status was 200; the rest is not read
        await in_state(api, redirect, "parked", 1)
        assert "redirects are not followed" in (await deliveries(api, redirect))[0]["error"]
        assert receiver.at("/target") == []
        await in_state(api, hang, "parked", 1)
        assert (await deliveries(api, hang))[0]["error"] == "no answer within 0.2 s"


async def test_a_name_that_changes_its_address_does_not_lead_inside(
    fleet: Fleet, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses = ["93.184.216.34"]

    async def resolver(host: str, port: int) -> list[str]:
        assert (host, port) == ("rebinding.example", receiver.port)
        return addresses

    async with fleet.replica(WEBHOOK_RETRY_BASE_SECONDS=0.01, resolver=resolver) as api:
        webhook = await register(api, f"https://rebinding.example:{receiver.port}/hook")
        addresses[:] = ["127.0.0.1"]
        await api.add("Alice likes tea", user_id="u")
        await in_state(api, webhook, "parked", 1)
        (parked,) = await deliveries(api, webhook)
        assert "127.0.0.1 is refused" in parked["error"]
        assert receiver.calls == []


async def test_a_name_is_resolved_once_and_the_connection_goes_where_it_was_judged(
    fleet: Fleet, receiver: Receiver
) -> None:
    asked: list[str] = []

    async def resolver(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    async with fleet.replica(**LOOPBACK, resolver=resolver) as api:
        webhook = await register(api, f"http://no-such-name.invalid:{receiver.port}/hook")
        await api.add("Alice likes tea", user_id="u")
        await in_state(api, webhook, "delivered", 1)
        assert receiver.calls[0].headers["host"] == f"no-such-name.invalid:{receiver.port}"
        assert asked == ["no-such-name.invalid"] * 2  # when it was registered, and when it was called


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("https://127.0.0.1/", "127.0.0.1 is refused"),
        ("https://2130706433/", "127.0.0.1 is refused"),
        ("https://0x7f.1/", "127.0.0.1 is refused"),
        ("https://[::ffff:10.0.0.1]/", "is refused"),
        ("https://[64:ff9b::a9fe:a9fe]/", "is refused"),
        ("https://169.254.169.254/latest", "is refused"),
        ("http://8.8.8.8/", "plain http"),
        ("https://no-such-host.invalid/", "cannot be resolved"),
        ("https://user:secret@8.8.8.8/", "user or password"),
        ("https://8.8.8.8/#fragment", "fragment"),
        ("ftp://8.8.8.8/", "http or https"),
        ("https:///path", "http or https"),
        ("https://8.8.8.8:99999/", "URL"),
        ("https://a..b/", "labels"),
        ("https://.example.com/", "labels"),
        (f"https://{'a' * 64}.example.com/", "labels"),
        ("https://[64:ff9b:1::808:808]/", "is refused"),
    ],
)
async def test_where_a_webhook_may_not_go_is_refused_at_once(fleet: Fleet, url: str, message: str) -> None:
    async with fleet.replica() as api:
        webhook = await register(api, "https://8.8.8.8/")
        for answer in (
            await api.client.post("/webhooks", json={"url": url}),
            await api.client.patch(f"/webhooks/{webhook['id']}", json={"url": url}),
        ):
            assert answer.status_code == 400, answer.text
            assert answer.json()["errors"][0]["field"] == "url"
            assert message in answer.json()["detail"]
