from collections.abc import Mapping
from typing import Any

import pytest

from memsys_api.inference.provider_settings import (
    NEEDS_BASE_URL,
    ProviderSettings,
    mem0_config,
    ollama_options,
    prompt_room,
)
from memsys_api.inference.types import InferenceRejected
from memsys_api.vendors.mem0_import import llm_factory


def config(settings: ProviderSettings, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    _, config_class = llm_factory().provider_to_class[settings.provider]
    made = mem0_config(settings, config_class, environment or {})
    config_class(**made)  # every key is one that mem0 knows
    return made


def test_openai() -> None:
    made = config(ProviderSettings("openai", "m", "http://x/v1", "key"))
    assert made == {"model": "m", "max_tokens": 4000, "openai_base_url": "http://x/v1", "api_key": "key"}


def test_a_keyless_server_never_gets_the_key_of_another() -> None:
    made = config(ProviderSettings("openai", "m", "http://x/v1"), {"OPENAI_API_KEY": "sk-real"})
    assert made["api_key"] == "no-key-needed"
    assert "api_key" not in config(ProviderSettings("openai", "m"), {"OPENAI_API_KEY": "sk-real"})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (ProviderSettings("ollama", "m"), "OLLAMA_BASE_URL"),
        (ProviderSettings("ollama", None, "http://x"), "LLM_MODEL"),
        (ProviderSettings("vllm", "m"), "LLM_BASE_URL"),
        (ProviderSettings("azure_openai", "m"), "LLM_BASE_URL"),
        (ProviderSettings("langchain", "m"), "no setting can carry"),
        (ProviderSettings("litellm", "m", "http://x"), "takes no LLM_BASE_URL"),
        (ProviderSettings("openai", "m", options={"openai_base_url": "http://x"}), "LLM_OPTIONS names openai_base_url"),
        (ProviderSettings("openai", "m", options={"num_ctx": 1}), "LLM_OPTIONS names num_ctx"),
    ],
)
def test_settings_that_cannot_work_are_named(settings: ProviderSettings, message: str) -> None:
    with pytest.raises(InferenceRejected, match=message) as caught:
        config(settings)
    assert caught.value.subject == "settings"


def test_openrouters_key_does_not_override_the_settings_unseen() -> None:
    with pytest.raises(InferenceRejected, match="OPENROUTER_API_KEY"):
        config(ProviderSettings("openai", "m", api_key="key"), {"OPENROUTER_API_KEY": "other"})
    assert config(ProviderSettings("openai", "m"), {"OPENROUTER_API_KEY": "other"})["model"] == "m"


def test_options_of_the_provider() -> None:
    assert config(ProviderSettings("openai", "m", options={"reasoning_effort": "low"}))["reasoning_effort"] == "low"
    settings = ProviderSettings("ollama", "m", "http://x", options={"num_ctx": 4096, "temperature": 0})
    assert config(settings)["temperature"] == 0
    assert ollama_options(settings.options) == {"num_ctx": 4096}
    assert ollama_options({}) == {"num_ctx": 16_384}


def test_room_for_the_prompt() -> None:
    assert prompt_room(ProviderSettings("openai")) is None
    assert prompt_room(ProviderSettings("ollama", max_tokens=4000)) == 12_384
    for num_ctx in (4000, "16384", None, 1.5):
        with pytest.raises(InferenceRejected, match="num_ctx"):
            prompt_room(ProviderSettings("ollama", max_tokens=4000, options={"num_ctx": num_ctx}))


@pytest.mark.parametrize("provider", sorted(set(llm_factory().provider_to_class) - {"langchain"}))
def test_every_provider_of_mem0_can_be_configured(provider: str) -> None:
    url = "http://model.example" if provider in NEEDS_BASE_URL else None
    assert config(ProviderSettings(provider, "model", url, "key"))["model"] == "model"
