"""When a reranker is asked, and what becomes of a search when it does not answer: it goes on without."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from memsys_api import telemetry
from memsys_api.inference import Spent, unheeded
from memsys_api.measured import counted
from memsys_api.metrics import RERANK_SECONDS, RERANKS

log = logging.getLogger(__name__)

SPARED_SECONDS = 10.0
"""For how long a reranker that failed is left alone: each search would wait for it in vain."""


class RerankerFailed(Exception):
    """The reranker gave no scores; the message says why. ``of_texts``: others would have got some."""

    def __init__(self, message: str, *, of_texts: bool = False) -> None:
        super().__init__(message)
        self.of_texts = of_texts


class Reranker(Protocol):
    """What gives texts scores."""

    provider: str
    model: str
    by_language_model: bool
    """Whether it asks a language model, which projects have a budget of."""

    async def scores(self, query: str, texts: Sequence[str], seconds: float, spent: Spent) -> list[float]:
        """How well each text answers the query, higher is better, within ``seconds``. Raises RerankerFailed.

        ``spent`` is told what each answer of a language model has cost.
        """
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the reranker did for one search. ``scores`` has one for each text, in their order, if it answered."""

    provider: str
    model: str
    outcome: Literal["answered", "failed", "skipped"]
    detail: str | None = None
    scores: tuple[float, ...] = ()


class Reranking:
    """A reranker with its limits. ``top_n`` is how many candidates it is to be given at most."""

    def __init__(
        self, reranker: Reranker, *, top_n: int, seconds: float, spared_seconds: float = SPARED_SECONDS
    ) -> None:
        self.top_n = top_n
        self._reranker = reranker
        self._seconds = seconds
        self._spared_seconds = spared_seconds
        self._spared_until = 0.0
        self._last_error = ""

    @property
    def by_language_model(self) -> bool:
        """Whether a language model is asked."""
        return self._reranker.by_language_model

    async def scores(self, query: str, texts: Sequence[str], spent: Spent = unheeded) -> Outcome:
        """The scores of at most ``top_n`` texts. Never raises: without an answer the texts keep their order."""
        if time.monotonic() < self._spared_until:
            return self.skipped(f"left alone for a while after it failed: {self._last_error}")
        try:
            with RERANK_SECONDS.time(), telemetry.span("rerank", **{"memsys.texts": len(texts)}):
                async with asyncio.timeout(self._seconds):
                    scores = await self._reranker.scores(query, texts, self._seconds, counted(spent))
        except TimeoutError:
            return self._failed(f"did not answer within {self._seconds:g} s (RERANKER_TIMEOUT_SECONDS)")
        except RerankerFailed as error:
            return self._failed(str(error), spared=not error.of_texts)
        return self._outcome("answered", scores=tuple(scores))

    def skipped(self, why: str) -> Outcome:
        """What a search is told for which the reranker was not asked."""
        return self._outcome("skipped", why)

    async def close(self) -> None:
        await self._reranker.close()

    def _failed(self, why: str, *, spared: bool = True) -> Outcome:
        log.warning("the reranker failed", extra={"provider": self._reranker.provider, "reason": why})
        if spared:
            self._spared_until = time.monotonic() + self._spared_seconds
            self._last_error = why
        return self._outcome("failed", why)

    def _outcome(
        self,
        outcome: Literal["answered", "failed", "skipped"],
        detail: str | None = None,
        scores: tuple[float, ...] = (),
    ) -> Outcome:
        RERANKS.labels(outcome).inc()
        return Outcome(self._reranker.provider, self._reranker.model, outcome, detail, scores)
