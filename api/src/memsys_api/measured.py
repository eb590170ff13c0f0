"""Parts that reach outside, with their calls counted and timed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from memsys_api import metrics, telemetry
from memsys_api.inference import (
    Add,
    Inference,
    InferenceError,
    InferenceMalformed,
    InferenceRequest,
    InferenceUnavailable,
    Inferrer,
    Spent,
    State,
    Supersede,
    Usage,
    unheeded,
)
from memsys_api.model import Memory
from memsys_api.ports import Embedder, EmbedderError, Vectors


class MeasuredEmbedder:
    """An embedder whose calls are counted and timed."""

    def __init__(self, inner: Embedder) -> None:
        self._inner = inner
        self.provider, self.model, self.dimensions = inner.provider, inner.model, inner.dimensions

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """As the inner embedder does."""
        begun = time.perf_counter()
        try:
            with telemetry.span("embed", **{"memsys.texts": len(texts)}):
                vectors = await self._inner.embed(texts)
        except EmbedderError:
            metrics.EMBED_ERRORS.inc()
            raise
        metrics.EMBED_SECONDS.observe(time.perf_counter() - begun)
        metrics.EMBED_TEXTS.inc(len(texts))
        return vectors

    def forget(self) -> None:
        self._inner.forget()

    async def close(self) -> None:
        await self._inner.close()


class MeasuredInferrer:
    """An inferrer whose calls, tokens and decisions are counted."""

    def __init__(self, inner: Inferrer) -> None:
        self._inner = inner

    async def infer(self, request: InferenceRequest, spent: Spent = unheeded) -> Inference:
        """As the inner inferrer does."""
        begun = time.perf_counter()
        try:
            with telemetry.span("infer", **{"memsys.messages": len(request.messages)}):
                found = await self._inner.infer(request, counted(spent))
        except InferenceError as error:
            metrics.INFERENCES.labels(_outcome(error)).inc()
            raise
        if found.usage.calls:
            metrics.INFER_SECONDS.observe(time.perf_counter() - begun)
        _count(found)
        return found

    async def shape(
        self,
        memories: Sequence[Memory],
        schema: Mapping[str, Any],
        check: Callable[[Any], list[str]],
        spent: Spent = unheeded,
        *,
        instructions: str | None = None,
    ) -> dict[str, Any]:
        """As the inner inferrer does."""
        try:
            with telemetry.span("shape", **{"memsys.memories": len(memories)}):
                shaped = await self._inner.shape(memories, schema, check, counted(spent), instructions=instructions)
        except InferenceError as error:
            metrics.SHAPINGS.labels(_outcome(error)).inc()
            raise
        metrics.SHAPINGS.labels("shaped").inc()
        return shaped

    def state(self) -> State:
        return self._inner.state()

    async def close(self) -> None:
        await self._inner.close()


def _outcome(error: InferenceError) -> str:
    if isinstance(error, InferenceUnavailable):
        return "unavailable"
    return "malformed" if isinstance(error, InferenceMalformed) else "rejected"


def counted(spent: Spent) -> Spent:
    """What tells the caller of an answer's cost, and counts it."""

    def told(usage: Usage) -> None:
        metrics.LLM_CALLS.inc(usage.calls)
        metrics.LLM_TOKENS.labels("input").inc(usage.input_tokens)
        metrics.LLM_TOKENS.labels("output").inc(usage.output_tokens)
        spent(usage)

    return told


def _count(found: Inference) -> None:
    metrics.INFERENCES.labels(
        "trivia" if not found.usage.calls else "truncated" if found.truncated else "inferred"
    ).inc()
    metrics.DECISIONS.labels("dropped").inc(len(found.dropped))
    for decision in found.decisions:
        kind = {Add: "add", Supersede: "supersede"}.get(type(decision), "nothing")
        metrics.DECISIONS.labels(kind).inc()
