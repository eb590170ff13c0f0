"""Exports in the shape that the caller asks for: made by the language model, held against the schema, kept a while."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

import memsys
from memsys_api.shaping import flow
from memsys_api.store import retention
from tests.support.scripted_llm import Call, Reply, ScriptedLLM

from .conftest import ADMIN_KEY, Dsn, Fleet, Replica
from .support.by_hand import by_hand
from .support.dump import holding
from .support.erasing import erase
from .support.waiting import until

MARK = "zanzibar"
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "since": {"type": ["integer", "null"]}},
    "required": ["city"],
    "additionalProperties": False,
}
SHAPED = {"city": MARK, "since": 2024}


@pytest.fixture
def llm() -> Iterator[ScriptedLLM]:
    with ScriptedLLM() as running:
        yield running


def _settings(llm: ScriptedLLM, **more: Any) -> dict[str, Any]:
    return {
        "LLM_PROVIDER": "openai", "LLM_MODEL": "scripted", "LLM_API_KEY": "k", "LLM_BASE_URL": llm.openai_url,
        "LLM_RETRY_BASE_SECONDS": 0.01, **more,
    }  # fmt: skip


async def _ask(client: httpx.AsyncClient, **fields: Any) -> str:
    answer = await client.post("/v1/exports/", json={"schema": SCHEMA, "filters": {"user_id": "ana"}, **fields})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


async def _fetch(client: httpx.AsyncClient, **query: Any) -> httpx.Response:
    """What an export has become, once it no longer waits."""
    answers = []

    async def settled() -> bool:
        answers.append(await client.post("/v1/exports/get/", json=query))
        return answers[-1].status_code != 409

    await until("the export is made or has failed", settled)
    return answers[-1]


async def _remember(api: Replica, text: str = f"Ana lives in {MARK}", **ids: str) -> str:
    return str((await api.add(text, infer=False, **(ids or {"user_id": "ana"})))[0]["id"])


async def test_memories_take_the_shape_of_a_schema(fleet: Fleet, llm: ScriptedLLM) -> None:
    async with fleet.replica(**_settings(llm)) as api, fleet.replica(**_settings(llm)) as other:
        await _remember(api)
        await _remember(api, "Bob lives in Rome", user_id="bob")
        llm.say(f"Here it is: {json.dumps(SHAPED)}")
        export_id = await _ask(api.client, export_instructions="Name the city.")
        assert (await _fetch(other.client, memory_export_id=export_id)).json() == SHAPED
        lines = (await api.client.get("/audit", params={"target": export_id})).json()["results"]
        assert [(line["action"], line["actor"]) for line in lines] == [
            ("export.updated", "admin"), ("export.created", "admin"),
        ]  # fmt: skip
        for same in ({"filters": {"user_id": "ana"}}, {"user_id": "ana"}, {"filters": {"AND": [{"user_id": "ana"}]}}):
            assert (await _fetch(other.client, **same)).json() == SHAPED
        [call] = llm.calls
        assert all(word in call.user for word in (MARK, "Name the city.", '"additionalProperties": false'))
        assert "Bob" not in call.user
        for unknown in ({"memory_export_id": str(uuid4())}, {"user_id": "bob"}):
            assert (await _fetch(api.client, **unknown)).status_code == 404


async def test_the_python_client_asks_and_fetches(fleet: Fleet, llm: ScriptedLLM) -> None:
    async with fleet.replica(**_settings(llm)) as api:
        await _remember(api)
        llm.say(json.dumps(SHAPED))
        async with memsys.AsyncClient("http://api", ADMIN_KEY, transport=api.client._transport) as client:
            export_id = await client.ask_for_shaped_export(SCHEMA, filters={"user_id": "ana"}, instructions="Name it.")
            await _fetch(api.client, memory_export_id=str(export_id))
            assert await client.shaped_export(export_id) == SHAPED
            llm.answer = lambda call: Reply(json.dumps({"town": MARK}))
            failing = await client.ask_for_shaped_export(SCHEMA)
            await _fetch(api.client, memory_export_id=str(failing))
            with pytest.raises(memsys.ExportFailed, match="city: Field required"):
                await client.shaped_export(failing)


async def test_an_answer_of_another_shape_is_corrected_and_never_kept(fleet: Fleet, llm: ScriptedLLM) -> None:
    async with fleet.replica(**_settings(llm)) as api:
        await _remember(api)
        llm.say(json.dumps(SHAPED | {"since": "2024"}), json.dumps(SHAPED))
        assert (await _fetch(api.client, memory_export_id=await _ask(api.client))).json() == SHAPED
        assert "since.*: Input should be a valid integer" in llm.calls[1].user
        llm.answer = lambda call: Reply(json.dumps({"town": MARK}))
        failed = await _fetch(api.client, memory_export_id=await _ask(api.client))
        assert (failed.status_code, failed.json()["type"].rpartition("/")[2]) == (502, "export-failed")
        assert "city: Field required" in failed.json()["detail"]
        assert MARK not in failed.text
        assert len(llm.calls) == 2 + 2 * 3


async def test_an_answer_of_another_shape_costs_also_where_the_correction_fails(fleet: Fleet, llm: ScriptedLLM) -> None:
    async with fleet.replica(**_settings(llm)) as api:
        await _remember(api)
        llm.queue(Reply(json.dumps({"town": MARK}), tokens=(10, 5)), Reply(status=400))
        failed = await _fetch(api.client, memory_export_id=await _ask(api.client))
        assert failed.status_code == 502
        assert len(llm.calls) == 2
        assert (await api.client.get("/policy")).json()["llm_tokens_today"] == 15


async def test_an_answer_that_is_cut_off_is_no_export(fleet: Fleet, llm: ScriptedLLM) -> None:
    async with fleet.replica(**_settings(llm)) as api:
        await _remember(api)
        llm.answer = lambda call: Reply(json.dumps(SHAPED), finish="length")
        failed = await _fetch(api.client, memory_export_id=await _ask(api.client))
        assert failed.status_code == 502
        assert "LLM_MAX_TOKENS" in failed.json()["detail"]


async def test_it_waits_while_the_model_is_away_and_survives_a_restart(fleet: Fleet, llm: ScriptedLLM) -> None:
    with ScriptedLLM() as dead:
        address = dead.openai_url
    async with fleet.replica(**_settings(llm, LLM_BASE_URL=address)) as api:
        await _remember(api)
        export_id = await _ask(api.client)
        await until("it was tried", lambda: _told(api, export_id, "openai"))
        waits = await api.client.post("/v1/exports/get/", json={"memory_export_id": export_id})
        assert (waits.status_code, waits.json()["type"].rpartition("/")[2]) == (409, "export-waits")
        assert "retry-after" in waits.headers
    with psycopg.connect(fleet.dsn.superuser) as conn:
        conn.execute("UPDATE shaping_jobs SET due_at = now()")
    llm.say(json.dumps(SHAPED))
    async with fleet.replica(**_settings(llm)) as api:
        assert (await _fetch(api.client, memory_export_id=export_id)).json() == SHAPED


async def _told(api: Replica, export_id: str, word: str) -> bool:
    return word in (await api.client.post("/v1/exports/get/", json={"memory_export_id": export_id})).text


async def test_without_a_language_model_it_is_refused_by_the_settings_name(api: Replica) -> None:
    await _remember(api)
    answer = await api.client.post("/v1/exports/", json={"schema": SCHEMA, "user_id": "ana"})
    assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (501, "not-supported")
    assert "LLM_PROVIDER" in answer.json()["detail"]


async def test_what_cannot_be_made_is_refused_at_once(
    fleet: Fleet, llm: ScriptedLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow, "MOST_MEMORIES", 2)
    async with fleet.replica(**_settings(llm)) as api:
        for _ in range(3):
            await _remember(api)
        for fields, field in (
            ({"schema": {"properties": {"a": {"not": {}}}}}, "schema.properties.a.not"),
            ({"schema": "{"}, "schema"),
            ({"schema": "[]"}, "schema"),
            ({"filters": {"user_id": "ana", "colour": []}}, "filters.colour"),
            ({"filters": {"user_id": "ana"}}, "filters"),
            ({"filters": {}, "depth": 2}, "depth"),
        ):
            answer = await api.client.post("/v1/exports/", json={"schema": SCHEMA, **fields})
            assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, field), answer.text
        nobody = await api.client.post("/v1/exports/", json={"schema": SCHEMA, "user_id": "nobody"})
        assert nobody.status_code == 404
        nothing = await api.client.post("/v1/exports/get/", json={})
        assert (nothing.status_code, nothing.json()["errors"][0]["field"]) == (400, "memory_export_id")
        assert llm.calls == []


async def test_it_stays_behind_the_wall_and_within_the_keys_scope(fleet: Fleet, llm: ScriptedLLM) -> None:
    async with fleet.replica(**_settings(llm)) as api:
        await _remember(api)
        llm.say(json.dumps(SHAPED))
        export_id = await _ask(api.client)
        await _fetch(api.client, memory_export_id=export_id)
        for grant in ({"projects": ["other"]}, {"projects": ["default"], "user_id": "bob"}):
            made = await api.client.post("/keys", json={"name": "k", **grant})
            async with api.as_key(made.json()["key"]) as stranger:
                assert (await _fetch(stranger, memory_export_id=export_id)).status_code == 404
        made = await api.client.post("/keys", json={"name": "k", "projects": ["default"], "user_id": "ana"})
        async with api.as_key(made.json()["key"]) as own:
            assert (await _fetch(own, memory_export_id=export_id)).json() == SHAPED


@pytest.mark.parametrize("by", ["memory", "user", "export's user"])
async def test_it_is_erased_with_any_memory_that_it_was_made_of(
    fleet: Fleet, llm: ScriptedLLM, dsn: Dsn, by: str
) -> None:
    llm.answer = lambda call: Reply(json.dumps(SHAPED))
    async with fleet.replica(**_settings(llm)) as api:
        memory_id = await _remember(api)
        await _remember(api, "Bob lives in Rome", user_id="bob")
        of = {"user_id": "ana"} if by == "export's user" else {"OR": [{"user_id": "ana"}, {"user_id": "bob"}]}
        export_id = await _ask(api.client, filters=of)
        assert (await _fetch(api.client, memory_export_id=export_id)).json() == SHAPED
        assert "shaped_exports" in holding(dsn.superuser, MARK)
        await erase(api, **({"memory_ids": [memory_id]} if by == "memory" else {"user_id": "ana"}))
        assert holding(dsn.superuser, MARK) == {}
        assert (await _fetch(api.client, memory_export_id=export_id)).status_code == 404


async def test_an_erasure_under_way_reaches_what_the_model_was_just_shown(
    fleet: Fleet, llm: ScriptedLLM, dsn: Dsn
) -> None:
    answering = asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow(call: Call) -> Reply:
        loop.call_soon_threadsafe(answering.set)
        return Reply(json.dumps(SHAPED if MARK in call.user else {"city": "Rome"}), delay=0.5)

    llm.answer = slow
    async with fleet.replica(**_settings(llm)) as api:
        await _remember(api)
        await _remember(api, "Ana lives in Rome", user_id="ana", run_id="r")
        export_id = await _ask(api.client)
        await asyncio.wait_for(answering.wait(), 10)
        [memory_id] = [m["id"] for m in (await api.client.get("/memories")).json()["results"] if MARK in m["memory"]]
        await erase(api, memory_ids=[memory_id])
        assert (await _fetch(api.client, memory_export_id=export_id)).json() == {"city": "Rome"}
        assert holding(dsn.superuser, MARK) == {}


async def test_it_runs_out(fleet: Fleet, llm: ScriptedLLM, dsn: Dsn) -> None:
    llm.answer = lambda call: Reply(json.dumps(SHAPED))
    async with fleet.replica(**_settings(llm)) as api:
        await _remember(api, "Ana lives there", user_id="ana")
        export_id = await _ask(api.client)
        await _fetch(api.client, memory_export_id=export_id)
        await by_hand(dsn.superuser, "UPDATE shaped_exports SET created_at = created_at - interval '8 days'")
        assert (await _fetch(api.client, memory_export_id=export_id)).status_code == 404
        await retention.sweep(api.service.database)
        assert holding(dsn.superuser, MARK) == {}


async def test_no_key_lets_too_many_wait(fleet: Fleet, llm: ScriptedLLM, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "MOST_WAITING", 1)
    llm.answer = lambda call: Reply(status=503)
    async with fleet.replica(**_settings(llm)) as api:
        await _remember(api)
        await _ask(api.client)
        answer = await api.client.post("/v1/exports/", json={"schema": SCHEMA, "user_id": "ana"})
        assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (409, "limit-reached")
