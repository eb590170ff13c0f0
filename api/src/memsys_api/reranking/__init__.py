"""Orders the best candidates of a search once more, through mem0's rerankers. Never reads or writes a store."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

from pydantic import SecretStr

from memsys_api.reranking.flow import Reranking
from memsys_api.reranking.settings import RerankerRejected

__all__ = ["RerankerRejected", "RerankerSettings", "Reranking", "create"]


class RerankerSettings(Protocol):
    """What :func:`create` reads of the API's settings."""

    @property
    def reranker_provider(self) -> str: ...
    @property
    def reranker_model(self) -> str | None: ...
    @property
    def reranker_api_key(self) -> SecretStr | None: ...
    @property
    def reranker_base_url(self) -> str | None: ...
    @property
    def reranker_top_n(self) -> int: ...
    @property
    def reranker_timeout_seconds(self) -> float: ...
    @property
    def llm_provider(self) -> str: ...
    @property
    def llm_model(self) -> str | None: ...
    @property
    def llm_base_url(self) -> str | None: ...
    @property
    def llm_api_key(self) -> SecretStr | None: ...
    @property
    def llm_options(self) -> Mapping[str, Any]: ...
    @property
    def llm_concurrency(self) -> int: ...
    @property
    def ollama_base_url(self) -> str | None: ...


async def create(settings: RerankerSettings) -> Reranking | None:
    """Return what reranks as the settings say; ``None`` when they name no reranker. The provider is not called.

    Raises :class:`RerankerRejected` when the settings cannot work.
    """
    if settings.reranker_provider == "none":
        return None
    from memsys_api.reranking.provider import ProviderReranker  # mem0 takes a second to import

    reranker = await asyncio.to_thread(ProviderReranker.create, settings)
    return Reranking(reranker, top_n=settings.reranker_top_n, seconds=settings.reranker_timeout_seconds)
