"""A project's policy over HTTP: what holds, who may change what, and that every replica goes by it."""

from __future__ import annotations

import time

from .conftest import Fleet, MakeKey, Replica
from .support.waiting import until


async def test_a_project_without_a_policy_goes_by_the_server_s_defaults(fleet: Fleet) -> None:
    async with fleet.replica(MEMSYS_QUARANTINE="hold", MEMSYS_LLM_TOKENS_PER_DAY=5) as api:
        answer = (await api.client.get("/policy")).json()
        assert answer["policy"] == {
            "quarantine": None,
            "llm_tokens_per_day": None,
            "requests_per_minute": None,
        }
        assert answer["in_force"] == {
            "quarantine": "hold",
            "llm_tokens_per_day": 5,
            "requests_per_minute": None,
        }
        assert answer["updated_at"] is answer["updated_by"] is None


async def test_a_policy_is_set_as_a_whole_and_stays_in_its_project(api: Replica) -> None:
    first = await api.client.put("/policy", json={"quarantine": "refuse", "llm_tokens_per_day": 7})
    assert first.status_code == 200, first.text
    assert first.json()["updated_by"] == "admin"
    second = (await api.client.put("/policy", json={"quarantine": "off"})).json()
    assert second["policy"] == {"quarantine": "off", "llm_tokens_per_day": None, "requests_per_minute": None}
    assert (await api.client.get("/policy")).json() == second
    elsewhere = (await api.client.get("/policy", headers={"X-Memsys-Project": "other"})).json()
    assert elsewhere["in_force"]["quarantine"] == "flag"


async def test_every_replica_goes_by_a_new_policy_within_two_seconds(fleet: Fleet) -> None:
    async with fleet.replica() as one, fleet.replica() as two:
        for replica in (one, two):
            assert (await replica.service.policies.of("default")).quarantine == "flag"
        begun = time.monotonic()
        await one.client.put("/policy", json={"quarantine": "hold"})
        assert (await one.service.policies.of("default")).quarantine == "hold"

        async def followed() -> bool:
            return (await two.service.policies.of("default")).quarantine == "hold"

        await until("the other replica goes by the policy", followed, 2)
        assert time.monotonic() - begun <= 2


async def test_only_an_administrator_sets_it_and_only_the_server_s_own_lifts_limits(
    api: Replica, keyed: MakeKey
) -> None:
    await api.client.put("/policy", json={"llm_tokens_per_day": 100})
    async with keyed(rights=["read", "write"]) as writer, keyed(rights=["read", "admin"]) as admin:
        assert (await writer.get("/policy")).json()["policy"]["llm_tokens_per_day"] == 100
        assert (await writer.put("/policy", json={})).status_code == 403
        for limits in ({}, {"llm_tokens_per_day": 101}, {"llm_tokens_per_day": 100, "requests_per_minute": 1}):
            refused = await admin.put("/policy", json=limits)
            assert refused.status_code == 403, limits
            assert refused.json()["errors"]
        kept = await admin.put("/policy", json={"quarantine": "hold", "llm_tokens_per_day": 100})
        assert kept.status_code == 200
        assert kept.json()["in_force"]["quarantine"] == "hold"


async def test_what_is_no_policy_is_refused_by_name(api: Replica) -> None:
    for document, field in (
        ({"quarantine": "maybe"}, "quarantine"),
        ({"llm_tokens_per_day": -1}, "llm_tokens_per_day"),
        ({"requests_per_minute": 0}, "requests_per_minute"),
        ({"budget": 5}, "budget"),
    ):
        refused = await api.client.put("/policy", json=document)
        assert refused.status_code == 400
        assert refused.json()["errors"][0]["field"] == field
