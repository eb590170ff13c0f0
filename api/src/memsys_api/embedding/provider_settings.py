"""From the project's settings to the configuration of mem0's embedders. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from memsys_api.ports import EmbedderRejected
from memsys_api.vendors.clients import URL_BY_CLIENT

DEFAULT_MODELS = {"openai": "text-embedding-3-small", "ollama": "nomic-embed-text"}
BASE_URL_FIELDS = {
    "openai": "openai_base_url",
    "ollama": "ollama_base_url",
    "lmstudio": "lmstudio_base_url",
    "huggingface": "huggingface_base_url",
}
NO_KEY_NEEDED = "no-key-needed"  # OpenAI's client insists on a key, self-hosted servers of its protocol have none
DIMENSIONS_BY_REQUEST = ("openai", "gemini", "vertexai", "aws_bedrock")
OPENAI_WAY = "a server of OpenAI's protocol answers to EMBEDDER_PROVIDER=openai with EMBEDDER_BASE_URL"
REFUSED = {
    "fastembed": "it downloads its model at run time; EMBEDDER_PROVIDER=builtin needs no download",
    "langchain": "it takes a Python object, which no setting can carry",
}


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    provider: str
    model: str | None = None
    dimensions: int | None = None
    base_url: str | None = None
    api_key: str | None = None


def mem0_config(settings: ProviderSettings) -> dict[str, Any]:
    """Return the keyword arguments of mem0's ``BaseEmbedderConfig``.

    Raises :class:`EmbedderRejected` for a provider that cannot be run from settings alone, naming the remedy.
    """
    provider = settings.provider
    if provider in REFUSED:
        raise EmbedderRejected(f"EMBEDDER_PROVIDER={provider} is not offered: {REFUSED[provider]}; {OPENAI_WAY}")
    if provider in ("huggingface", "azure_openai", "ollama") and not settings.base_url:
        raise EmbedderRejected(f"EMBEDDER_PROVIDER={provider} needs EMBEDDER_BASE_URL, the URL of its server")
    config: dict[str, Any] = {"model": settings.model or DEFAULT_MODELS.get(provider)}
    if settings.api_key:
        config["api_key"] = settings.api_key
    elif provider == "openai" and settings.base_url:
        config["api_key"] = NO_KEY_NEEDED
    if provider == "azure_openai":
        config["azure_kwargs"] = {
            "api_key": settings.api_key,
            "azure_endpoint": settings.base_url,
            "azure_deployment": settings.model,
        }
    elif settings.base_url and provider not in URL_BY_CLIENT:
        if provider not in BASE_URL_FIELDS:
            raise EmbedderRejected(f"EMBEDDER_PROVIDER={provider} takes no EMBEDDER_BASE_URL; leave it out")
        config[BASE_URL_FIELDS[provider]] = settings.base_url
    if settings.dimensions and _chooses_dimensions(provider, config["model"]):
        config["embedding_dims"] = settings.dimensions
    return config


def missing_package(provider: str, error: ImportError) -> EmbedderRejected:
    """Say what to do about a provider whose client is not installed."""
    return EmbedderRejected(
        f"EMBEDDER_PROVIDER={provider} needs a package that is not installed ({error}); {OPENAI_WAY}"
    )


def _chooses_dimensions(provider: str, model: str | None) -> bool:
    """Whether dimensions can be asked for: servers of models with a fixed number answer 400 to the parameter."""
    if provider == "openai":
        return bool(model) and str(model).startswith("text-embedding-3")
    return provider in DIMENSIONS_BY_REQUEST
