"""Rate limits over HTTP: across replicas, with what they tell, and without PostgreSQL."""

from __future__ import annotations

import asyncio
import itertools
import time

import psycopg
import pytest

from .conftest import Dsn, Fleet, Replica
from .support.measured import measured


async def _key(replica: Replica, **grant: object) -> str:
    answer = await replica.client.post("/keys", json={"name": "k", "projects": ["default"], **grant})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["key"])


@pytest.mark.parametrize("uneven", [False, True])
async def test_a_limit_holds_for_all_replicas_together(fleet: Fleet, uneven: bool) -> None:
    """Eight callers on two replicas ask all the time; with `uneven` one replica gets one request in twenty."""
    per_minute, seconds = 300, 8.0  # a rate that the slowest of machines exceeds
    async with fleet.replica() as one, fleet.replica() as two:
        key = await _key(one, requests_per_minute=per_minute)
        async with one.as_key(key) as at_one, two.as_key(key) as at_two:
            blind, begun = measured("memsys_api_rate_limit_blind_total"), time.monotonic()
            allowed = 0
            turns = itertools.count()

            async def ask() -> None:
                nonlocal allowed
                while time.monotonic() - begun < seconds:
                    turn = next(turns)
                    client = at_two if (turn % 20 == 0 if uneven else turn % 2) else at_one
                    answer = await client.get("/policy")
                    assert answer.status_code in (200, 429)
                    if answer.status_code == 200:
                        allowed += 1
                    else:
                        # As a caller does that reads the headers, but more impatient than they say.
                        await asyncio.sleep(0.02)

            await asyncio.gather(*(ask() for _ in range(8)))
            taken = time.monotonic() - begun
    # The bucket's first filling, a twelfth of a minute's, comes once; the rate is what is held to within 10 %. On a
    # very busy machine PostgreSQL may not answer in time: then a replica lets a second's worth pass, and counts it.
    allowed -= per_minute // 12
    blind = measured("memsys_api_rate_limit_blind_total") - blind
    assert 0.9 * per_minute <= allowed / taken * 60
    assert (allowed - blind * per_minute / 60) / taken * 60 <= 1.1 * per_minute


async def test_a_refusal_says_how_long_to_wait_and_every_answer_what_is_left(fleet: Fleet) -> None:
    async with fleet.replica() as api:
        async with api.as_key(await _key(api, requests_per_minute=24)) as client:
            answers = [await client.get("/policy") for _ in range(3)]
        assert [a.status_code for a in answers] == [200, 200, 429]
        assert [a.headers["RateLimit"].split(";")[1] for a in answers] == ["r=1", "r=0", "r=0"]
        for answer in answers:
            assert answer.headers["RateLimit-Policy"] == '"key";q=24;w=60'
        assert answers[2].json()["type"].endswith("/rate-limited")
        assert 1 <= int(answers[2].headers["Retry-After"]) <= 3
        assert "RateLimit" not in (await api.client.get("/policy")).headers


async def test_a_limit_comes_from_the_key_or_the_policy_or_the_setting(fleet: Fleet) -> None:
    async with fleet.replica(MEMSYS_RATE_LIMIT_PER_MINUTE=100) as api:
        await api.client.put("/policy", json={"requests_per_minute": 200}, headers={"X-Memsys-Project": "two"})
        quotas = []
        for key in (
            await _key(api),
            await _key(api, projects=["two"]),
            await _key(api, projects=["two"], requests_per_minute=300),
        ):
            async with api.as_key(key) as client:
                quotas.append((await client.get("/policy")).headers["RateLimit-Policy"].split(";")[1])
        assert quotas == ["q=100", "q=200", "q=300"]


async def test_trouble_with_the_table_takes_nothing_down_and_lets_no_flood_through(dsn: Dsn, api: Replica) -> None:
    key = await _key(api, requests_per_minute=600)
    with psycopg.connect(dsn.owner) as blocker:
        # In a thread: the lock waits for a transaction of the API's, which runs in this test's loop.
        await asyncio.to_thread(blocker.execute, "LOCK TABLE rate_buckets IN ACCESS EXCLUSIVE MODE")
        async with api.as_key(key) as client:
            answers = [await client.get("/policy") for _ in range(20)]
    statuses = [a.status_code for a in answers]
    assert statuses.count(200) == 10  # a second's worth
    assert set(statuses) == {200, 429}


async def test_wrong_keys_are_slowed_down_and_right_ones_are_not(fleet: Fleet) -> None:
    async with fleet.replica(MEMSYS_REFUSALS_PER_MINUTE=5) as api:
        key = await _key(api)
        async with api.as_key(key) as client, api.as_key("msk_aaaaaaaaaaaa_" + "b" * 32) as stranger:
            assert (await client.get("/policy")).status_code == 200
            answers = [await stranger.get("/policy") for _ in range(7)]
            assert [a.status_code for a in answers] == [401] * 5 + [429] * 2
            assert int(answers[-1].headers["Retry-After"]) >= 1
            assert (await client.get("/policy")).status_code == 200
            assert (await api.client.get("/policy")).status_code == 200
