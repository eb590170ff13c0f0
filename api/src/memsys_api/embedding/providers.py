"""Embedders of other people's servers, through mem0's provider classes: OpenAI, Ollama and whatever else mem0 offers.

mem0's classes are synchronous: they run in a few threads of their own. Vectors are checked, scaled to unit length
and their width compared with what the system stores; every failure becomes one of the two errors of the port.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from memsys_api.embedding.provider_errors import translate
from memsys_api.embedding.provider_settings import ProviderSettings, mem0_config
from memsys_api.ports import EmbedderRejected, Vectors
from memsys_api.vendors.clients import call_within
from memsys_api.vendors.mem0_import import embedder_factory

THREADS = 8  # calls under way at once; more only queue at the provider
REQUEST_TEXTS = 100  # the most texts in one call that all of mem0's batching providers accept
ONE_BY_ONE_TEXTS = 8  # where mem0 makes a call for each text, one after the other: the threads share them
ONE_BY_ONE = ("aws_bedrock",)
CALL_SECONDS = 30.0
PROBE = "How many dimensions do you have?"


class ProviderEmbedder:
    """One of mem0's embedders. Make it with :meth:`connect`."""

    def __init__(self, provider: str, model: str, client: Any, *, call_seconds: float = CALL_SECONDS) -> None:
        self.provider = provider
        self.model = model
        self.dimensions = 0  # set by connect(), from the settings or the first vector seen
        self._client = client
        self._call_seconds = call_seconds
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix=f"embedding-{provider}")

    @classmethod
    async def connect(cls, settings: ProviderSettings, *, call_seconds: float = CALL_SECONDS) -> ProviderEmbedder:
        """Make the provider's client and learn its dimensions with one call.

        Raises :class:`EmbedderRejected` (unknown provider, missing package, key or model, dimensions other than
        ``settings.dimensions``) or :class:`EmbedderUnavailable`.
        """
        config = mem0_config(settings)
        try:
            async with asyncio.timeout(call_seconds):
                client = await asyncio.to_thread(_make_client, settings, config, call_seconds)
        except Exception as error:
            raise translate(error, settings.provider, config.get("model")) from error
        embedder = cls(settings.provider, client.config.model, client, call_seconds=call_seconds)
        try:
            embedder.dimensions = settings.dimensions or (await embedder._call([PROBE])).shape[1]
            await embedder.embed([PROBE])
        except BaseException:
            await embedder.close()
            raise
        return embedder

    async def embed(self, texts: Sequence[str]) -> Vectors:
        if not texts:
            return np.empty((0, self.dimensions), np.float32)
        size = ONE_BY_ONE_TEXTS if self.provider in ONE_BY_ONE else REQUEST_TEXTS
        parts = [list(texts[start : start + size]) for start in range(0, len(texts), size)]
        return np.concatenate(await asyncio.gather(*map(self._call, parts)))

    def forget(self) -> None:
        """Nothing is kept."""

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _call(self, texts: list[str]) -> Vectors:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._call_seconds):
                rows = await loop.run_in_executor(self._threads, self._client.embed_batch, texts)
        except Exception as error:
            raise translate(error, self.provider, self.model) from error
        return self._checked(rows, len(texts))

    def _checked(self, rows: object, expected: int) -> Vectors:
        try:
            vectors = np.asarray(rows, np.float32)
        except (ValueError, TypeError) as error:
            raise EmbedderRejected(
                f"{self.provider} answered with something else than {expected} vectors of one length"
            ) from error
        if vectors.ndim != 2 or vectors.shape[0] != expected:
            raise EmbedderRejected(
                f"{self.provider} answered {vectors.shape} for {expected} texts; expected one vector for each"
            )
        if self.dimensions and vectors.shape[1] != self.dimensions:
            raise EmbedderRejected(
                f"{self.provider} model {self.model} answers vectors of {vectors.shape[1]} dimensions, "
                f"this system is set to {self.dimensions}: correct EMBEDDER_DIMENSIONS or EMBEDDER_MODEL"
            )
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not np.all(np.isfinite(lengths)) or np.any(lengths == 0):
            raise EmbedderRejected(f"{self.provider} model {self.model} answered a vector of zeros or of no numbers")
        unit: Vectors = vectors / lengths
        return unit


def _make_client(settings: ProviderSettings, config: dict[str, Any], call_seconds: float) -> Any:
    if settings.provider == "ollama":
        _require_ollama_model(config["ollama_base_url"], config["model"], call_seconds)
    client = embedder_factory().create(settings.provider, config, None)
    call_within(client, settings.provider, seconds=call_seconds, retries=1, url=settings.base_url)
    return client


def _require_ollama_model(url: str, model: str, call_seconds: float) -> None:
    """mem0 would download a missing model, gigabytes perhaps, in the middle of a start. Say what to do instead."""
    import ollama

    listed = ollama.Client(host=url, timeout=call_seconds).list().models
    names = {str(entry.model).removesuffix(":latest") for entry in listed}
    if model.removesuffix(":latest") not in names:
        raise EmbedderRejected(
            f"the Ollama server at {url} has no model {model} (it has: {', '.join(sorted(names)) or 'none'}): "
            f"run `ollama pull {model}` there"
        )
