"""Texts into vectors: the built-in model in this process, or a provider through mem0. Never knows what is stored."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from pydantic import SecretStr

from memsys_api.embedding.builtin import BuiltinEmbedder
from memsys_api.embedding.cache import CachedEmbedder
from memsys_api.embedding.provider_settings import ProviderSettings
from memsys_api.ports import Embedder

__all__ = ["EmbedderSettings", "create"]


class EmbedderSettings(Protocol):
    """What :func:`create` reads of the API's settings."""

    @property
    def embedder_provider(self) -> str: ...
    @property
    def embedder_model(self) -> str | None: ...
    @property
    def embedder_dimensions(self) -> int | None: ...
    @property
    def embedder_base_url(self) -> str | None: ...
    @property
    def embedder_api_key(self) -> SecretStr | None: ...
    @property
    def model_dir(self) -> str | Path | None: ...
    @property
    def ollama_base_url(self) -> str | None: ...


async def create(settings: EmbedderSettings) -> Embedder:
    """Return the embedder that the settings name, loaded (or its provider asked once) and ready.

    Raises :class:`~memsys_api.ports.EmbedderRejected` when the settings cannot work, and
    :class:`~memsys_api.ports.EmbedderUnavailable` when the provider does not answer yet.
    """
    inner: Embedder
    if settings.embedder_provider == "builtin":
        inner = await BuiltinEmbedder.load(
            settings.model_dir, model=settings.embedder_model, dimensions=settings.embedder_dimensions
        )
    else:
        from memsys_api.embedding.providers import ProviderEmbedder  # mem0 takes a second to import

        base_url = settings.embedder_base_url
        if settings.embedder_provider == "ollama":
            base_url = base_url or settings.ollama_base_url
        key = settings.embedder_api_key
        inner = await ProviderEmbedder.connect(
            ProviderSettings(
                provider=settings.embedder_provider,
                model=settings.embedder_model,
                dimensions=settings.embedder_dimensions,
                base_url=base_url,
                api_key=key.get_secret_value() if key else None,
            )
        )
    return CachedEmbedder(inner)
