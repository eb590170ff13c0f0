"""The models: what embeds, and what infers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode

from memsys_api.settings.keys import ProviderKey


def _json_object(value: object) -> object:
    """Read here and not by the source, whose error would end the start before all that is wrong is named."""
    if not isinstance(value, str):
        return value
    try:
        read = json.loads(value)
    except ValueError as error:
        reason = str(error) if isinstance(error, json.JSONDecodeError) else type(error).__name__
        raise ValueError(f'expected a JSON object such as {{"seed": 7}}: {reason}') from None
    if not isinstance(read, dict):
        raise ValueError('expected a JSON object such as {"seed": 7}')
    return read


class ModelSettings(BaseSettings):
    """The embedder and the language model."""

    embedder_provider: str = Field(
        "builtin",
        validation_alias="EMBEDDER_PROVIDER",
        description="builtin (all-MiniLM-L6-v2 in this process), or a provider: openai, ollama, …",
    )
    embedder_model: str | None = Field(
        None, validation_alias="EMBEDDER_MODEL", description="The provider's name of the model."
    )
    embedder_dimensions: int | None = Field(
        None, ge=1, le=16_000, validation_alias="EMBEDDER_DIMENSIONS", description="The model's dimensions."
    )
    embedder_base_url: str | None = Field(
        None, validation_alias="EMBEDDER_BASE_URL", description="Where the provider listens, if not its default."
    )
    embedder_api_key: ProviderKey | None = Field(
        None, validation_alias="EMBEDDER_API_KEY", description="Key for the embedding provider."
    )
    llm_provider: str = Field(
        "none", validation_alias="LLM_PROVIDER", description="none, or a provider: openai, ollama, anthropic, …"
    )
    llm_model: str | None = Field(
        None, validation_alias="LLM_MODEL", description="The provider's name of the language model."
    )
    llm_base_url: str | None = Field(
        None, validation_alias="LLM_BASE_URL", description="Where the provider listens, if not its default."
    )
    llm_api_key: ProviderKey | None = Field(
        None, validation_alias="LLM_API_KEY", description="Key for the language model's provider."
    )
    llm_timeout_seconds: float = Field(
        60,
        gt=0,
        le=600,
        validation_alias="LLM_TIMEOUT_SECONDS",
        description="Longest one inference may take, a second try after an unreadable answer included.",
    )
    llm_max_tokens: int = Field(
        4000, ge=1, validation_alias="LLM_MAX_TOKENS", description="Most tokens the language model may answer with."
    )
    llm_concurrency: int = Field(
        8,
        ge=1,
        le=64,
        validation_alias="LLM_CONCURRENCY",
        description="Most calls of the language model that one replica makes at once.",
    )
    llm_retry_base_seconds: float = Field(
        1,
        gt=0,
        le=60,
        validation_alias="LLM_RETRY_BASE_SECONDS",
        description="First of the six waits between a back-fill's seven attempts; each is twice the one before.",
    )
    llm_options: Annotated[dict[str, Any], NoDecode, BeforeValidator(_json_object)] = Field(
        default_factory=dict,
        validation_alias="LLM_OPTIONS",
        description="Options that only this provider has, as a JSON object.",
    )
    ollama_base_url: str | None = Field(
        None, validation_alias="OLLAMA_BASE_URL", description="Ollama, for embedder and language model alike."
    )
    model_dir: Path = Field(
        Path("/opt/memsys/models"), validation_alias="MEMSYS_MODEL_DIR", description="The built-in model's folder."
    )
