"""Held writes that come again under their Idempotency-Key: answered as they were, whatever was decided meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import psycopg
import pytest

from memsys_api.store import retention
from tests.support.scripted_llm import Reply, ScriptedLLM

from .conftest import Dsn, Fleet, Replica
from .support.dump import holding
from .support.erasing import erase
from .test_inference_flow import facts, llm_settings
from .test_quarantine import SUSPECT, held, policy

MARK = "zanzibar"
KEY = {"Idempotency-Key": f"order-{MARK}"}
ADD = {"text": SUSPECT, "user_id": "ann"}
ADDED = ("POST", "/memories", ADD)
MEM0 = ("POST", "/v3/memories/add/", {"messages": SUSPECT, "user_id": "ann"})
SUBMITTED = ("POST", "/memories", ADD | {"wait": False})
BATCH = ("POST", "/memories/batch", {"requests": [{"text": "tea"}, ADD]})
Request = tuple[str, str, dict[str, Any]]


@pytest.fixture
def llm() -> Iterator[ScriptedLLM]:
    with ScriptedLLM() as server:
        server.answer = lambda _: Reply(facts(SUSPECT))
        yield server


@pytest.fixture
async def thinking(fleet: Fleet, llm: ScriptedLLM) -> AsyncIterator[Replica]:
    async with fleet.replica(**llm_settings(llm, LLM_RETRY_BASE_SECONDS=0.01)) as replica:
        yield replica


async def send(api: Replica, request: Request, **changes: Any) -> httpx.Response:
    method, path, body = request
    return await api.client.request(method, path, json=body | changes, headers=KEY)


async def hold(api: Replica, request: Request) -> httpx.Response:
    """Have a request held under the key."""
    await policy(api, "hold")
    answer = await send(api, request)
    assert answer.status_code == 202, answer.text
    return answer


async def decide(api: Replica, verdict: str) -> list[str]:
    """Decide on what waits; what came of it."""
    (one,) = await held(api)
    answer = await api.client.post(f"/quarantine/{one['id']}/{verdict}")
    assert answer.status_code == 200, answer.text
    ids: list[str] = answer.json()["memory_ids"]
    return ids


async def stored(api: Replica) -> list[str]:
    return [memory["memory"] for memory in (await api.client.get("/memories")).json()["results"]]


async def update_of(api: Replica) -> tuple[str, Request]:
    """The path of a memory that is there, and a suspect change of it."""
    (memory,) = await api.add("ordinary", user_id="ann")
    path = f"/memories/{memory['id']}"
    return path, ("PUT", path, {"text": SUSPECT})


def conflicts(answer: httpx.Response) -> bool:
    return bool((answer.status_code, answer.json()["type"].rsplit("/", 1)[1]) == (409, "idempotency-conflict"))


@pytest.mark.parametrize("mode", ["off", "flag", "refuse", "hold"])
@pytest.mark.parametrize("request_", [ADDED, MEM0], ids=["add", "mem0"])
async def test_a_held_add_is_answered_the_same_under_any_policy(api: Replica, request_: Request, mode: str) -> None:
    first = await hold(api, request_)
    await policy(api, mode)
    again = await send(api, request_)
    assert (again.status_code, again.json()) == (202, first.json())
    assert (await stored(api), len(await held(api))) == ([], 1)


@pytest.mark.parametrize("request_", [ADDED, MEM0], ids=["add", "mem0"])
async def test_a_released_add_is_answered_what_its_release_stored(api: Replica, request_: Request) -> None:
    await hold(api, request_)
    (memory_id,) = await decide(api, "release")
    for mode in ("flag", "hold", "refuse"):
        await policy(api, mode)
        again = await send(api, request_)
        assert again.status_code == 200
        (outcome,) = again.json()["results"]
        assert (outcome["id"], outcome["event"], outcome["memory"]) == (memory_id, "ADD", SUSPECT)
    await api.client.delete(f"/memories/{memory_id}")
    assert (await send(api, request_)).json() == again.json()
    assert (await stored(api), await held(api)) == ([], [])


@pytest.mark.parametrize("request_", [ADDED, MEM0], ids=["add", "mem0"])
async def test_a_rejected_add_is_not_stored_by_coming_again(api: Replica, request_: Request) -> None:
    first = await hold(api, request_)
    await decide(api, "reject")
    for mode in ("flag", "hold"):
        await policy(api, mode)
        again = await send(api, request_)
        assert (again.status_code, again.json()) == (202, first.json())
    assert (await stored(api), await held(api)) == ([], [])


@pytest.mark.parametrize("verdict", ["release", "reject"])
async def test_a_decided_update_overwrites_nothing_by_coming_again(api: Replica, verdict: str) -> None:
    path, change = await update_of(api)
    first = await hold(api, change)
    await decide(api, verdict)
    written = (await api.client.get(path)).json()
    await policy(api, "flag")
    await api.client.put(path, json={"text": "corrected"})
    again = await send(api, change)
    if verdict == "release":
        assert (again.status_code, again.json()["memory"], again.json()["version"]) == (200, SUSPECT, 2)
        assert again.json()["updated_at"] == written["updated_at"]
    else:
        assert (again.status_code, again.json()) == (202, first.json())
    assert (await api.client.get(path)).json()["memory"] == "corrected"


async def test_another_request_under_the_key_of_a_held_one_is_refused(api: Replica) -> None:
    path, change = await update_of(api)
    await hold(api, ADDED)
    for verdict in (None, "release"):
        if verdict:
            await decide(api, verdict)
        for mode in ("hold", "flag"):
            await policy(api, mode)
            assert conflicts(await send(api, ADDED, text="something else"))
            assert conflicts(await send(api, ADDED, user_id="bob"))
            assert conflicts(await send(api, SUBMITTED))
            assert conflicts(await send(api, change))
    assert (await api.client.get(path)).json()["version"] == 1


async def test_what_is_refused_leaves_its_key_free(api: Replica) -> None:
    await policy(api, "refuse")
    assert (await send(api, ADDED)).status_code == 400
    assert (await send(api, ADDED, text="something else")).status_code == 200


@pytest.mark.parametrize("verdict", [None, "release", "reject"])
@pytest.mark.parametrize("kind", ["add", "submission", "batch", "update"])
async def test_what_was_held_comes_back_by_no_repetition_once_its_user_is_erased(
    api: Replica, dsn: Dsn, kind: str, verdict: str | None
) -> None:
    some = {"add": ADDED, "submission": SUBMITTED, "batch": BATCH}
    request_ = (await update_of(api))[1] if kind == "update" else some[kind]
    await hold(api, request_)
    if verdict:
        await decide(api, verdict)
    receipt = (await erase(api, user_id="ann"))["receipt"]
    assert receipt["removed"]["postgres"]["idempotency"] == 1
    assert receipt["verified"]["postgres"]["idempotency"] == 0
    assert holding(dsn.superuser, MARK) == {}
    for mode in ("hold", "flag"):
        await policy(api, mode)
        assert conflicts(await send(api, request_))
    await erase(api, user_id="ann")  # the key stays known as used
    assert conflicts(await send(api, request_))


async def test_a_batch_comes_back_by_no_repetition_however_many_of_its_users_are_erased(api: Replica) -> None:
    two: Request = ("POST", "/memories/batch", {"requests": [ADD, ADD | {"user_id": "bob"}]})
    await hold(api, two)
    await erase(api, user_id="ann")
    await erase(api, user_id="bob")
    assert conflicts(await send(api, two))
    assert await held(api) == []


@pytest.mark.parametrize("kind", ["add", "update"])
async def test_what_was_released_comes_back_by_no_repetition_once_it_is_erased(api: Replica, kind: str) -> None:
    request_ = ADDED if kind == "add" else (await update_of(api))[1]
    await hold(api, request_)
    (memory_id,) = await decide(api, "release")
    receipt = (await erase(api, memory_ids=[memory_id]))["receipt"]
    assert receipt["removed"]["postgres"]["idempotency"] == 1
    await policy(api, "flag")
    assert conflicts(await send(api, request_))
    assert await stored(api) == []


async def test_others_keys_outlive_an_erasure(api: Replica) -> None:
    first = await hold(api, ADDED)
    await erase(api, user_id="bob")
    assert (await send(api, ADDED)).json() == first.json()


@pytest.mark.parametrize("kind", ["add", "update"])
async def test_replicas_that_race_hold_once_and_answer_the_same(fleet: Fleet, kind: str) -> None:
    async with fleet.replica() as one, fleet.replica() as two:
        request_ = ADDED if kind == "add" else (await update_of(one))[1]
        await policy(one, "hold")
        await asyncio.sleep(1.1)  # until both know
        answers = await asyncio.gather(*(send(replica, request_) for replica in (one, two) * 8))
        assert {answer.status_code for answer in answers} == {202}
        assert len({answer.text for answer in answers}) == 1
        assert len(await held(one)) == 1
        await decide(one, "release")
        answers = await asyncio.gather(*(send(replica, request_) for replica in (one, two)))
        assert {answer.status_code for answer in answers} == {200}
        assert await stored(one) == [SUSPECT]


async def test_what_a_model_made_of_it_is_held_under_the_key_too(thinking: Replica, llm: ScriptedLLM) -> None:
    request_: Request = ("POST", "/memories", {"text": "I told you already, did I not?", "user_id": "ann"})
    first = await hold(thinking, request_)
    assert conflicts(await send(thinking, request_, text="I told you something else, did I not?"))
    await policy(thinking, "flag")
    asked = len(llm.calls)
    assert (await send(thinking, request_)).json() == first.json()
    assert len(llm.calls) == asked
    (memory_id,) = await decide(thinking, "release")
    again = await send(thinking, request_)
    assert (again.status_code, [result["id"] for result in again.json()["results"]]) == (200, [memory_id])
    assert await stored(thinking) == [SUSPECT]


async def test_of_two_attempts_of_which_one_is_suspect_to_the_model_one_counts(
    thinking: Replica, llm: ScriptedLLM
) -> None:
    replies = iter([Reply(facts(SUSPECT), delay=0.2), Reply(facts("User has told it already"), delay=0.2)])
    llm.answer = lambda _: next(replies)
    await policy(thinking, "hold")
    request_: Request = ("POST", "/memories", {"text": "I told you already, did I not?"})
    answers = await asyncio.gather(send(thinking, request_), send(thinking, request_))
    assert len(llm.calls) == 2
    assert len({(answer.status_code, answer.text) for answer in answers}) == 1
    assert len(await held(thinking)) + len(await stored(thinking)) == 1


async def test_a_key_is_forgotten_in_its_time_and_its_review_waits_on(api: Replica, dsn: Dsn) -> None:
    first = await hold(api, ADDED)
    with psycopg.connect(dsn.superuser) as conn:
        conn.execute("UPDATE idempotency SET created_at = now() - interval '49 hours'")
    assert await retention.sweep(api.service.database) == 1
    again = await send(api, ADDED)  # a new request by now, as any other
    assert again.status_code == 202
    reviews = {answer.json()["results"][0]["review_id"] for answer in (first, again)}
    assert {one["id"] for one in await held(api)} == reviews
    assert len(reviews) == 2
