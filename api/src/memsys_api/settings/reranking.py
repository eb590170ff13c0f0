"""Reranking: whether, by what, and how long a search may wait for it."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings

from memsys_api.settings.keys import ProviderKey


class RerankingSettings(BaseSettings):
    """What orders the best candidates of a search once more. Off by default."""

    reranker_provider: str = Field(
        "none",
        validation_alias="RERANKER_PROVIDER",
        description="none; llm (the language model of LLM_PROVIDER, one call a candidate); cohere (or any server of "
        "its protocol); zero_entropy, sentence_transformer or huggingface where their package is installed.",
    )
    reranker_model: str | None = Field(
        None, validation_alias="RERANKER_MODEL", description="The provider's name of the model; for llm: LLM_MODEL."
    )
    reranker_api_key: ProviderKey | None = Field(
        None,
        validation_alias="RERANKER_API_KEY",
        description="Key for the reranker; for llm LLM_API_KEY, unless RERANKER_BASE_URL names another server.",
    )
    reranker_base_url: str | None = Field(
        None,
        validation_alias="RERANKER_BASE_URL",
        description="Where the reranker listens, if not its default; for llm: LLM_BASE_URL.",
    )
    reranker_top_n: int = Field(
        20, ge=2, le=100, validation_alias="RERANKER_TOP_N", description="How many of the best candidates are reranked."
    )
    reranker_timeout_seconds: float = Field(
        5,
        gt=0,
        le=60,
        validation_alias="RERANKER_TIMEOUT_SECONDS",
        description="Longest a search waits for the reranker before it answers without.",
    )
