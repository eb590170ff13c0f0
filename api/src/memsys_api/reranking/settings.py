"""From the project's settings to the configuration of mem0's rerankers. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memsys_api.inference.provider_settings import NO_KEY_NEEDED, ProviderSettings

if TYPE_CHECKING:
    from memsys_api.reranking import RerankerSettings

LLM = "llm_reranker"  # as mem0 calls it
NAMES = {"llm": LLM}
SCORE_TOKENS = 100  # mem0's own bound of an answer that is one number
OWN_URL = ("cohere", LLM)
OWN_MACHINE = ("sentence_transformer", "huggingface")
COHERE_WAY = "a server of Cohere's protocol answers to RERANKER_PROVIDER=cohere with RERANKER_BASE_URL"


class RerankerRejected(Exception):
    """The settings name a reranker that cannot be had; the message says what to do."""


def mem0_config(settings: RerankerSettings, provider: str) -> dict[str, Any]:
    """Return the configuration of mem0's reranker, but for the language model of ``llm_reranker``.

    Raises :class:`RerankerRejected` for settings that cannot work, naming the setting and the remedy.
    """
    if settings.reranker_base_url and provider not in OWN_URL:
        raise RerankerRejected(f"RERANKER_PROVIDER={provider} takes no RERANKER_BASE_URL; leave it out")
    config: dict[str, Any] = {"model": settings.reranker_model} if settings.reranker_model else {}
    if key := api_key(settings, provider):
        config["api_key"] = key
    elif provider in ("cohere", "zero_entropy"):
        raise RerankerRejected(f"RERANKER_PROVIDER={provider} needs RERANKER_API_KEY")
    return config


def api_key(settings: RerankerSettings, provider: str) -> str | None:
    """Return the key to ask with. The language model's is never sent to another server than its own."""
    if settings.reranker_api_key:
        return settings.reranker_api_key.get_secret_value()
    if provider == LLM and not settings.reranker_base_url and settings.llm_api_key:
        return settings.llm_api_key.get_secret_value()
    return NO_KEY_NEEDED if settings.reranker_base_url and provider == "cohere" else None


def llm_settings(settings: RerankerSettings) -> ProviderSettings:
    """Return how the language model that scores is reached. Raises :class:`RerankerRejected` when there is none."""
    provider = settings.llm_provider
    if provider == "none":
        raise RerankerRejected("RERANKER_PROVIDER=llm asks the language model of LLM_PROVIDER, which is none: set it")
    url = settings.reranker_base_url or settings.llm_base_url
    if provider == "ollama":
        url = url or settings.ollama_base_url
    return ProviderSettings(
        provider=provider,
        model=settings.reranker_model or settings.llm_model,
        base_url=url,
        api_key=api_key(settings, LLM),
        max_tokens=SCORE_TOKENS,
        timeout_seconds=settings.reranker_timeout_seconds,
        concurrency=settings.llm_concurrency,
        options=settings.llm_options,
    )
