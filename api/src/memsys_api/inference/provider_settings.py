"""From the project's settings to the configuration of mem0's language models. Pure."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from memsys_api.inference.types import InferenceRejected
from memsys_api.vendors.clients import URL_BY_CLIENT

BASE_URL_FIELDS = {
    "openai": "openai_base_url",
    "openai_structured": "openai_base_url",
    "ollama": "ollama_base_url",
    "anthropic": "anthropic_base_url",
    "vllm": "vllm_base_url",
    "lmstudio": "lmstudio_base_url",
    "deepseek": "deepseek_base_url",
    "xai": "xai_base_url",
    "minimax": "minimax_base_url",
}
AZURE = ("azure_openai", "azure_openai_structured")
NEEDS_BASE_URL = ("ollama", "vllm", "lmstudio", *AZURE)
NEEDS_MODEL = ("ollama", "vllm", "lmstudio", *AZURE)
# Servers of OpenAI's protocol that need no key, but whose client insists on one. The setting alone decides: a key that
# happens to stand in the environment for another server is never sent to this one.
NO_KEY_NEEDED = "no-key-needed"
KEYLESS = ("openai", "openai_structured", "vllm", "lmstudio")
OPENAI_PROTOCOL = {  # where what speaks to other providers answers in OpenAI's protocol
    "groq": "https://api.groq.com/openai/v1",
    "together": "https://api.together.xyz/v1",
    "gemini": "https://generativelanguage.googleapis.com/v1beta/openai",
    "azure_openai": "https://<resource>.openai.azure.com/openai/v1/",
    "azure_openai_structured": "https://<resource>.openai.azure.com/openai/v1/",
}
REFUSED = {"langchain": "it takes a Python object, which no setting can carry"}

DEFAULT_NUM_CTX = 16_384  # tokens; Ollama's own default is shorter than the prompt and would cut it without a word
OLLAMA_OPTIONS = ("num_ctx", "num_gpu", "num_thread", "seed", "repeat_penalty", "top_k", "min_p")


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """What a provider is reached by. ``options`` are its own, by the names of mem0's configuration class."""

    provider: str
    model: str | None = None
    base_url: str | None = None
    api_key: str | None = None
    max_tokens: int = 4000
    timeout_seconds: float = 60.0
    concurrency: int = 8
    options: Mapping[str, Any] = field(default_factory=dict)


def mem0_config(settings: ProviderSettings, config_class: type, environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the keyword arguments of mem0's ``config_class``, the one of ``settings.provider``.

    Raises :class:`InferenceRejected` for settings that cannot work, naming the setting and the remedy.
    """
    provider, url = settings.provider, settings.base_url
    if provider in REFUSED:
        raise InferenceRejected(
            f"LLM_PROVIDER={provider} is not offered: {REFUSED[provider]}; a server of OpenAI's protocol answers to "
            "LLM_PROVIDER=openai with LLM_BASE_URL"
        )
    if provider in NEEDS_BASE_URL and not url:
        name = "OLLAMA_BASE_URL or LLM_BASE_URL" if provider == "ollama" else "LLM_BASE_URL"
        raise InferenceRejected(f"LLM_PROVIDER={provider} needs {name}, the URL of its server")
    if provider in NEEDS_MODEL and not settings.model:
        raise InferenceRejected(f"LLM_PROVIDER={provider} needs LLM_MODEL, the name of a model that its server has")
    if provider == "openai" and environment.get("OPENROUTER_API_KEY") and (url or settings.api_key):
        raise InferenceRejected(
            "OPENROUTER_API_KEY is set and would override LLM_BASE_URL and LLM_API_KEY: unset it, or set "
            "LLM_BASE_URL=https://openrouter.ai/api/v1 and LLM_API_KEY to its value"
        )
    config: dict[str, Any] = {"model": settings.model, "max_tokens": settings.max_tokens}
    if provider in AZURE:
        config["azure_kwargs"] = {
            "api_key": settings.api_key,
            "azure_endpoint": url,
            "azure_deployment": settings.model,
            "api_version": environment.get("LLM_AZURE_API_VERSION", "2024-10-21"),
        }
    elif url and provider not in URL_BY_CLIENT:
        if provider not in BASE_URL_FIELDS:
            raise InferenceRejected(f"LLM_PROVIDER={provider} takes no LLM_BASE_URL; leave it out")
        config[BASE_URL_FIELDS[provider]] = url
    if settings.api_key:
        config["api_key"] = settings.api_key
    elif provider in KEYLESS and url:
        config["api_key"] = NO_KEY_NEEDED
    return {**config, **_options(settings, config_class)}


def ollama_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the run-time options of an Ollama model; mem0 passes none of them on by itself."""
    return {"num_ctx": DEFAULT_NUM_CTX} | {name: value for name, value in options.items() if name in OLLAMA_OPTIONS}


def prompt_room(settings: ProviderSettings) -> int | None:
    """Return how many tokens a prompt may have; ``None`` for providers that refuse what is too long by themselves.

    Raises :class:`InferenceRejected` when there is room for none.
    """
    if settings.provider != "ollama":
        return None
    num_ctx = ollama_options(settings.options)["num_ctx"]
    if not isinstance(num_ctx, int) or num_ctx <= settings.max_tokens:
        raise InferenceRejected(
            f'LLM_OPTIONS: "num_ctx" is {num_ctx!r}; expected a whole number of tokens, greater than LLM_MAX_TOKENS '
            f"({settings.max_tokens}) by the length of the longest prompt"
        )
    return num_ctx - settings.max_tokens


def missing_package(provider: str, error: ImportError) -> InferenceRejected:
    """Say what to do about a provider whose client is not installed."""
    text = f"LLM_PROVIDER={provider} needs a package that is not installed ({error})"
    url = OPENAI_PROTOCOL.get(provider)
    reached = f"LLM_BASE_URL={url}" if url else "LLM_BASE_URL, the address of a server of OpenAI's protocol"
    return InferenceRejected(f"{text}; without it, use LLM_PROVIDER=openai with {reached}")


def _options(settings: ProviderSettings, config_class: type) -> dict[str, Any]:
    own = {"model", "max_tokens", "api_key", "azure_kwargs", "response_callback", *BASE_URL_FIELDS.values()}
    offered = set(inspect.signature(config_class).parameters) - own
    runtime = set(OLLAMA_OPTIONS) if settings.provider == "ollama" else set()
    if unknown := sorted(set(settings.options) - offered - runtime):
        raise InferenceRejected(
            f"LLM_OPTIONS names {', '.join(unknown)}, which LLM_PROVIDER={settings.provider} does not have; "
            f"it has {', '.join(sorted(offered | runtime))}"
        )
    return {name: value for name, value in settings.options.items() if name in offered - runtime}
