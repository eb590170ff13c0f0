"""What the three protocols have in common: facts, decisions, usage, failures. One call each time."""

import asyncio
import json
import os
from pathlib import Path
from uuid import UUID

import pytest
from pydantic import SecretStr

from memsys_api import inference
from memsys_api.inference import (
    Add,
    InferenceRejected,
    InferenceRequest,
    InferenceUnavailable,
    Message,
    Nothing,
    Supersede,
)
from memsys_api.model import Memory, Scope
from tests.integration.inference.conftest import NOW, Connect, Settings, settings_for
from tests.support.scripted_llm import Call, Reply, ScriptedLLM

PROTOCOLS = ["openai", "ollama", "anthropic"]
TALK = [Message("user", "I moved from Berlin to Oslo, and Poppy loves the snow!", name="Ana")]
EXISTING = [
    Memory(UUID(int=number), Scope("p"), 1, text, "h", NOW, NOW, NOW)
    for number, text in enumerate(["Ana lives in Berlin", "Ana has a dog named Poppy"], start=1)
]
ANSWER = {
    "memory": [
        {"text": "Ana moved from Berlin to Oslo", "decision": "supersede", "memory_id": "0", "messages": [0]},
        {
            "text": "Ana's dog Poppy loves the snow",
            "decision": "add",
            "linked_memory_ids": ["1"],
            "messages": [0],
            "entities": [{"name": "User", "kind": "person"}, {"name": "Poppy", "kind": "pet"}],
            "relations": [{"subject": "User", "predicate": "has_pet", "object": "Poppy"}],
        },
        {"text": "Ana has a dog named Poppy", "decision": "none", "memory_id": "1", "messages": [0]},
    ]
}


@pytest.mark.parametrize("provider", PROTOCOLS)
async def test_one_call_gives_facts_decisions_entities_links_and_usage(
    provider: str, llm: ScriptedLLM, connect: Connect
) -> None:
    llm.say(json.dumps(ANSWER))
    inferrer = await connect(provider)
    found = await inferrer.infer(InferenceRequest(TALK, EXISTING, observed_at=NOW, user="ana-1"))

    moved, loves, has = found.decisions
    assert isinstance(moved, Supersede)
    assert moved.target == EXISTING[0].id
    assert isinstance(loves, Add)
    assert loves.fact.linked == (EXISTING[1].id,)
    assert [entity.name for entity in loves.fact.extraction.entities] == ["Ana", "Poppy"]
    assert [relation.predicate for relation in loves.fact.extraction.relations] == ["has_pet"]
    assert isinstance(has, Nothing)
    assert has.survivor == EXISTING[1].id
    assert (found.usage.input_tokens, found.usage.output_tokens, found.usage.calls) == (100, 20, 1)
    assert not found.usage.estimated
    assert len(llm.calls) == 1


@pytest.mark.parametrize("provider", PROTOCOLS)
async def test_what_the_model_is_sent(provider: str, llm: ScriptedLLM, connect: Connect) -> None:
    inferrer = await connect(provider)
    await inferrer.infer(InferenceRequest(TALK, EXISTING, observed_at=NOW, instructions="Only pets."))
    (call,) = llm.calls
    assert "# DECISIONS" in call.system
    assert '"id": "0", "date": "2026-05-01", "text": "Ana lives in Berlin"' in call.user
    assert "Only pets." in call.user
    assert str(EXISTING[0].id) not in json.dumps(call.body)
    assert llm.refused == []


async def test_an_agent_without_a_user_is_told_of(llm: ScriptedLLM, connect: Connect) -> None:
    inferrer = await connect()
    await inferrer.infer(InferenceRequest(TALK, observed_at=NOW, agent="helper"))
    await inferrer.infer(InferenceRequest(TALK, observed_at=NOW, agent="helper", user="ana"))
    assert ["primary entity is an AI agent" in call.system for call in llm.calls] == [True, False]


@pytest.mark.parametrize("provider", PROTOCOLS)
@pytest.mark.parametrize("status", [429, 500, 503])
async def test_failures_that_pass(provider: str, status: int, llm: ScriptedLLM, connect: Connect) -> None:
    llm.queue(Reply(status=status, headers={"retry-after": "7"}))
    inferrer = await connect(provider)
    with pytest.raises(InferenceUnavailable, match=str(status)):
        await inferrer.infer(InferenceRequest(TALK, observed_at=NOW))
    assert len(llm.calls) == 1  # whether to try again is the caller's to say


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
async def test_retry_after_is_passed_on_and_obeyed(provider: str, llm: ScriptedLLM, connect: Connect) -> None:
    llm.queue(Reply(status=429, headers={"retry-after": "7"}))
    inferrer = await connect(provider)
    with pytest.raises(InferenceUnavailable) as caught:
        await inferrer.infer(InferenceRequest(TALK, observed_at=NOW))
    assert caught.value.retry_after == 7
    with pytest.raises(InferenceUnavailable, match="left alone") as caught:
        await inferrer.infer(InferenceRequest(TALK, observed_at=NOW))
    assert 6 < (caught.value.retry_after or 0) <= 7
    assert len(llm.calls) == 1


@pytest.mark.parametrize("provider", PROTOCOLS)
async def test_a_refused_key_is_a_matter_of_settings(provider: str, llm: ScriptedLLM, connect: Connect) -> None:
    llm.queue(Reply(status=401, error="bad key sk-123"))
    inferrer = await connect(provider)
    with pytest.raises(InferenceRejected, match="LLM_API_KEY") as caught:
        await inferrer.infer(InferenceRequest(TALK, observed_at=NOW))
    assert caught.value.subject == "settings"
    assert "sk-123" not in str(caught.value)


@pytest.mark.parametrize("provider", PROTOCOLS)
async def test_a_request_that_the_model_cannot_take_does_not_count_against_it(
    provider: str, llm: ScriptedLLM, connect: Connect
) -> None:
    inferrer = await connect(provider)
    for _ in range(6):
        llm.queue(Reply(status=400, error="maximum context length is 8192 tokens"))
        with pytest.raises(InferenceRejected, match="HTTP 400") as caught:
            await inferrer.infer(InferenceRequest(TALK, observed_at=NOW))
        assert caught.value.subject == "input"
    assert inferrer.state().available


@pytest.mark.parametrize("provider", PROTOCOLS)
async def test_a_dead_provider(provider: str, llm: ScriptedLLM, connect: Connect) -> None:
    inferrer = await connect(provider)
    llm.close()
    with pytest.raises(InferenceUnavailable, match="does not answer"):
        await inferrer.infer(InferenceRequest(TALK, observed_at=NOW))


@pytest.mark.parametrize("provider", PROTOCOLS)
async def test_a_provider_that_hangs_up(provider: str, llm: ScriptedLLM, connect: Connect) -> None:
    llm.queue(Reply(hang_up=True))
    inferrer = await connect(provider)
    with pytest.raises(InferenceUnavailable):
        await inferrer.infer(InferenceRequest(TALK, observed_at=NOW))


@pytest.mark.parametrize("provider", ["openai_structured", "vllm", "lmstudio", "deepseek", "xai", "minimax"])
async def test_relatives_of_openai(provider: str, llm: ScriptedLLM) -> None:
    llm.say(json.dumps(ANSWER))
    settings = Settings(llm_provider=provider, llm_base_url=llm.openai_url, llm_api_key=SecretStr("sk-scripted"))
    inferrer = await inference.create(settings)
    assert inferrer is not None
    found = await inferrer.infer(InferenceRequest(TALK, EXISTING, observed_at=NOW))
    await inferrer.close()
    assert [type(decision) for decision in found.decisions] == [Supersede, Add, Nothing]
    assert found.usage.calls == 1
    assert found.usage.estimated == (provider == "openai_structured")  # mem0's class keeps its response to itself
    assert llm.calls[0].headers["authorization"] == "Bearer sk-scripted"


async def test_a_start_does_not_need_the_provider(llm: ScriptedLLM) -> None:
    llm.close()
    for provider in PROTOCOLS:
        inferrer = await inference.create(settings_for(provider, llm))
        assert inferrer is not None
        await inferrer.close()


async def test_none_is_no_inferrer() -> None:
    assert await inference.create(Settings(llm_provider="none")) is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (Settings(llm_provider="gpt"), "LLM_PROVIDER=gpt is unknown; expected none or one of anthropic"),
        (Settings(llm_provider="ollama"), "OLLAMA_BASE_URL"),
        (Settings(llm_options={"num_ctx": 1}), "LLM_OPTIONS"),
        (Settings(llm_provider="openai"), "LLM_PROVIDER=openai cannot be set up"),
    ],
)
async def test_settings_that_cannot_work_stop_the_start(
    settings: Settings, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(InferenceRejected, match=message):
        await inference.create(settings)


async def test_ollama_gets_room_for_the_prompt_and_is_never_told_to_download(
    llm: ScriptedLLM, connect: Connect
) -> None:
    inferrer = await connect("ollama", llm_options={"seed": 7})
    await inferrer.infer(InferenceRequest(TALK, observed_at=NOW))
    options = llm.calls[0].body["options"]
    assert (options["num_ctx"], options["seed"], options["num_predict"]) == (16_384, 7, 500)
    assert llm.calls[0].body["format"] == "json"
    llm.queue(Reply(status=404, error="model 'llama3.1' not found"))
    with pytest.raises(InferenceRejected, match=r"ollama pull llama3\.1"):
        await inferrer.infer(InferenceRequest(TALK, observed_at=NOW))
    assert llm.refused == []


async def test_ollama_is_not_sent_more_than_it_would_read(llm: ScriptedLLM, connect: Connect) -> None:
    inferrer = await connect("ollama", llm_options={"num_ctx": 8192})
    await inferrer.infer(InferenceRequest(TALK, observed_at=NOW))
    with pytest.raises(InferenceRejected, match="num_ctx") as caught:
        await inferrer.infer(InferenceRequest([Message("user", "I like tea. " * 2000)], observed_at=NOW))
    assert caught.value.subject == "input"
    assert len(llm.calls) == 1


async def test_parameters_that_a_model_refuses_are_left_out_from_then_on(llm: ScriptedLLM, connect: Connect) -> None:
    inferrer = await connect("openai")
    llm.queue(
        Reply(status=400, error="'response_format' of type 'json_object' is not supported with this model"),
        Reply(status=400, error="Unsupported value: 'temperature' does not support 0.1 with this model"),
    )
    await inferrer.infer(InferenceRequest(TALK, observed_at=NOW))
    await inferrer.infer(InferenceRequest(TALK, observed_at=NOW))
    bodies = [call.body for call in llm.calls]
    assert ["response_format" in body for body in bodies] == [True, False, False, False]
    assert ["temperature" in body for body in bodies] == [True, True, False, False]


async def test_many_first_calls_at_once_all_learn_what_is_refused(llm: ScriptedLLM, connect: Connect) -> None:
    def answer(call: Call) -> Reply:
        refused = "response_format" in call.body
        return Reply(status=400 if refused else 200, error="response_format is not supported", delay=0.1)

    llm.answer = answer
    inferrer = await connect()
    found = await asyncio.gather(*(inferrer.infer(InferenceRequest(TALK, observed_at=NOW)) for _ in range(4)))
    assert [one.usage.calls for one in found] == [1] * 4


async def test_mem0_leaves_no_trace_at_home(llm: ScriptedLLM, connect: Connect) -> None:
    inferrer = await connect("openai")
    await inferrer.infer(InferenceRequest(TALK, observed_at=NOW))
    assert os.environ["MEM0_TELEMETRY"] == "False"
    from mem0.memory import setup, telemetry  # type: ignore[import-untyped]

    assert Path(setup.mem0_dir) != Path.home() / ".mem0"
    assert telemetry.MEM0_TELEMETRY is False
