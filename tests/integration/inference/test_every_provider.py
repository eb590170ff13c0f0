"""Every language model that mem0 knows: chosen by settings alone, or refused with the package and the way round it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from pydantic import SecretStr

from memsys_api import inference
from memsys_api.inference import Add, InferenceRejected, InferenceRequest, InferenceUnavailable, Message
from memsys_api.vendors.mem0_import import llm_factory
from tests.integration.inference.conftest import NOW, Settings
from tests.support.scripted_llm import Reply, ScriptedLLM

OFFERED = {  # the path of LLM_BASE_URL
    "openai": "/v1",
    "openai_structured": "/v1",
    "ollama": "",
    "groq": "",
    "together": "",
    "aws_bedrock": "",
    "anthropic": "",
    "gemini": "",
    "deepseek": "/v1",
    "minimax": "/v1",
    "xai": "/v1",
    "sarvam": "/v1",
    "lmstudio": "/v1",
    "vllm": "/v1",
}
ABSENT = {"litellm": "litellm", "azure_openai": "azure", "azure_openai_structured": "azure"}
REFUSED = {"langchain": "Python object"}
MODELS = {"ollama": "llama3.1", "aws_bedrock": "anthropic.claude-3-5-sonnet-20240620-v1:0"}
AWS = {"aws_access_key_id": "AKIASCRIPTED", "aws_secret_access_key": "scripted", "aws_region": "eu-west-1"}
TALK = [Message("user", "Poppy loves the snow!", name="Ana")]
ANSWER = json.dumps({"memory": [{"text": "Ana's dog Poppy loves the snow", "decision": "add", "messages": [0]}]})


def settings(provider: str, llm: ScriptedLLM) -> Settings:
    return Settings(
        llm_provider=provider,
        llm_model=MODELS.get(provider, "scripted"),
        llm_base_url=llm.url + OFFERED.get(provider, ""),
        llm_api_key=None if provider == "aws_bedrock" else SecretStr("sk-scripted"),
        llm_options=AWS if provider == "aws_bedrock" else {},
    )


def test_every_name_that_mem0_knows_is_here() -> None:
    assert set(llm_factory().provider_to_class) == {*OFFERED, *ABSENT, *REFUSED}


@pytest.mark.parametrize("provider", OFFERED)
async def test_settings_alone_reach_it(provider: str, llm: ScriptedLLM) -> None:
    llm.say(ANSWER)
    inferrer = await inference.create(settings(provider, llm))
    assert inferrer is not None
    found = await inferrer.infer(InferenceRequest(TALK, observed_at=NOW))
    assert [d.fact.text for d in found.decisions if isinstance(d, Add)] == ["Ana's dog Poppy loves the snow"]
    (call,) = llm.calls
    assert "# DECISIONS" in call.system
    assert "Poppy loves the snow!" in call.user
    assert llm.refused == []
    await inferrer.close()


@pytest.mark.parametrize("provider", sorted({*OFFERED} - {"ollama"}))
@pytest.mark.parametrize(("status", "expected"), [(503, InferenceUnavailable), (401, InferenceRejected)])
async def test_away_and_refused_are_told_apart_without_a_second_try(
    provider: str, status: int, expected: type[Exception], llm: ScriptedLLM
) -> None:
    llm.answer = lambda _: Reply(status=status, error="no" if provider == "aws_bedrock" else "key sk-scripted")
    inferrer = await inference.create(settings(provider, llm))
    assert inferrer is not None
    with pytest.raises(expected, match=str(status)) as caught:
        await inferrer.infer(InferenceRequest(TALK, observed_at=NOW))
    assert "sk-scripted" not in str(caught.value)
    assert len(llm.calls) == 1
    await inferrer.close()


@pytest.mark.parametrize(
    ("provider", "slow"),
    [
        ("gemini", Reply(delay=30)),
        ("gemini", Reply(text=ANSWER, drip=0.1)),
        ("groq", Reply(text=ANSWER, drip=0.1)),
        ("aws_bedrock", Reply(delay=30)),
    ],
)
async def test_no_thread_is_lost_to_a_server_that_does_not_answer(provider: str, slow: Reply, llm: ScriptedLLM) -> None:
    llm.queue(slow, Reply(ANSWER))
    only_thread = replace(settings(provider, llm), llm_timeout_seconds=2.0, llm_concurrency=1)
    inferrer = await inference.create(only_thread)
    assert inferrer is not None
    with pytest.raises(InferenceUnavailable):
        await inferrer.infer(InferenceRequest(TALK, observed_at=NOW))
    assert (await inferrer.infer(InferenceRequest(TALK, observed_at=NOW))).decisions
    await inferrer.close()


@pytest.mark.parametrize(("provider", "package"), ABSENT.items())
async def test_what_is_not_installed_stops_the_start_with_the_way_round_it(
    provider: str, package: str, llm: ScriptedLLM
) -> None:
    given = settings(provider, llm)
    given = replace(given, llm_base_url=None) if provider == "litellm" else given
    with pytest.raises(InferenceRejected, match=rf"package that is not installed .*{package}") as caught:
        await inference.create(given)
    assert "LLM_PROVIDER=openai with LLM_BASE_URL" in str(caught.value)


@pytest.mark.parametrize(("provider", "why"), REFUSED.items())
async def test_what_no_setting_can_carry_is_refused(provider: str, why: str, llm: ScriptedLLM) -> None:
    with pytest.raises(InferenceRejected, match=why) as caught:
        await inference.create(settings(provider, llm))
    assert "LLM_PROVIDER=openai with LLM_BASE_URL" in str(caught.value)
