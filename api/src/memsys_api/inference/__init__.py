"""What a conversation holds worth remembering, by a language model. Decides; never reads or writes a store."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

from pydantic import SecretStr

from memsys_api.extraction import normalise
from memsys_api.inference.fingerprint import fingerprint
from memsys_api.inference.types import (
    Add,
    Decision,
    Dropped,
    Fact,
    Inference,
    InferenceError,
    InferenceMalformed,
    InferenceRejected,
    InferenceRequest,
    InferenceUnavailable,
    Inferrer,
    Message,
    Nothing,
    Spent,
    State,
    Supersede,
    Usage,
    unheeded,
)

__all__ = [
    "Add",
    "Decision",
    "Dropped",
    "Fact",
    "Inference",
    "InferenceError",
    "InferenceMalformed",
    "InferenceRejected",
    "InferenceRequest",
    "InferenceSettings",
    "InferenceUnavailable",
    "Inferrer",
    "Message",
    "Nothing",
    "Spent",
    "State",
    "Supersede",
    "Usage",
    "create",
    "fingerprint",
    "unheeded",
]


class InferenceSettings(Protocol):
    """What :func:`create` reads of the API's settings."""

    @property
    def llm_provider(self) -> str: ...
    @property
    def llm_model(self) -> str | None: ...
    @property
    def llm_base_url(self) -> str | None: ...
    @property
    def llm_api_key(self) -> SecretStr | None: ...
    @property
    def llm_max_tokens(self) -> int: ...
    @property
    def llm_timeout_seconds(self) -> float: ...
    @property
    def llm_concurrency(self) -> int: ...
    @property
    def llm_options(self) -> Mapping[str, Any]: ...
    @property
    def ollama_base_url(self) -> str | None: ...


async def create(settings: InferenceSettings) -> Inferrer | None:
    """Return what infers with the language model that the settings name; ``None`` when they name none.

    The provider is not called: the API starts whether or not it answers. Raises :class:`InferenceRejected` when the
    settings cannot work.
    """
    if settings.llm_provider == "none":
        return None
    from memsys_api.inference.chat import Chat
    from memsys_api.inference.inferrer import LlmInferrer
    from memsys_api.inference.prompt import system_prompt
    from memsys_api.inference.provider_settings import ProviderSettings
    from memsys_api.vendors.mem0_import import extraction_prompts

    base_url = settings.llm_base_url
    if settings.llm_provider == "ollama":
        base_url = base_url or settings.ollama_base_url
    chat = await Chat.create(
        ProviderSettings(
            provider=settings.llm_provider,
            model=settings.llm_model,
            base_url=base_url,
            api_key=settings.llm_api_key.get_secret_value() if settings.llm_api_key else None,
            max_tokens=settings.llm_max_tokens,
            timeout_seconds=settings.llm_timeout_seconds,
            concurrency=settings.llm_concurrency,
            options=settings.llm_options,
        )
    )
    base, of_agents = await asyncio.to_thread(extraction_prompts)
    return LlmInferrer(
        chat,
        system_for_user=system_prompt(base),
        system_for_agent=system_prompt(base, of_agents),
        normalise=normalise,
        timeout_seconds=settings.llm_timeout_seconds,
        concurrency=settings.llm_concurrency,
    )
