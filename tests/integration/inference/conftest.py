"""Inference over real sockets: the vendors' real clients, as mem0 uses them, against a scripted server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import SecretStr

from memsys_api import inference
from memsys_api.inference import Inferrer
from tests.support.scripted_llm import ScriptedLLM

NOW = datetime(2026, 5, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Settings:
    llm_provider: str = "openai"
    llm_model: str | None = "scripted"
    llm_base_url: str | None = None
    llm_api_key: SecretStr | None = None
    llm_max_tokens: int = 500
    llm_timeout_seconds: float = 20.0
    llm_concurrency: int = 4
    llm_options: dict[str, Any] = field(default_factory=dict)
    ollama_base_url: str | None = None


def settings_for(provider: str, llm: ScriptedLLM, **changes: Any) -> Settings:
    """Settings that reach the scripted server in the protocol of ``provider``."""
    reached: dict[str, dict[str, Any]] = {
        "openai": {"llm_base_url": llm.openai_url},
        "ollama": {"ollama_base_url": llm.url, "llm_model": "llama3.1"},
        "anthropic": {"llm_base_url": llm.url, "llm_api_key": SecretStr("sk-scripted")},
    }
    return Settings(**{"llm_provider": provider, **reached[provider], **changes})


Connect = Callable[..., Awaitable[Inferrer]]


@pytest.fixture
def llm() -> Iterator[ScriptedLLM]:
    with ScriptedLLM() as server:
        yield server


@pytest.fixture
async def connect(llm: ScriptedLLM) -> AsyncIterator[Connect]:
    """``await connect("openai", llm_timeout_seconds=1)``: an inferrer of that protocol, closed after the test."""
    made: list[Inferrer] = []

    async def make(provider: str = "openai", **changes: Any) -> Inferrer:
        inferrer = await inference.create(settings_for(provider, llm, **changes))
        assert inferrer is not None
        made.append(inferrer)
        return inferrer

    yield make
    for inferrer in made:
        await inferrer.close()
