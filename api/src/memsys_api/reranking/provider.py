"""mem0's rerankers: synchronous, so in a few threads of their own, and made to say when they failed.

All of them answer a failure with made-up scores. A failure of the client therefore passes through them as a
:class:`_Escape`; and scores that are all 0.0, which is what they make up, count as one too.
"""

from __future__ import annotations

import asyncio
import math
import os
import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from memsys_api.causes import cause
from memsys_api.inference import InferenceRejected, Spent, Usage
from memsys_api.inference import chat as llms
from memsys_api.inference.provider_settings import mem0_config as llm_config
from memsys_api.inference.provider_settings import missing_package
from memsys_api.inference.usage import estimate, read_usage
from memsys_api.reranking.flow import RerankerFailed
from memsys_api.reranking.settings import (
    COHERE_WAY,
    LLM,
    NAMES,
    OWN_MACHINE,
    RerankerRejected,
    llm_settings,
    mem0_config,
)
from memsys_api.vendors.clients import call_within
from memsys_api.vendors.errors import status_of
from memsys_api.vendors.mem0_import import reranker_factory

if TYPE_CHECKING:
    from memsys_api.reranking import RerankerSettings


class _Escape(BaseException):
    """What mem0's ``except Exception`` does not catch; its cause is what went wrong."""


class AnswerWithoutNumber(Exception):
    """The language model said something else than a score; its words, which may repeat the memory, are not kept."""


class _Call(llms.Call):
    """A thread's present call, and what the language model's answer has cost."""

    usage: Usage = Usage()


class ProviderReranker:
    """One of mem0's rerankers. Make it with :meth:`create`."""

    def __init__(self, settings: RerankerSettings, provider: str, reranker: Any, call: _Call) -> None:
        self.provider = provider
        self.by_language_model = provider == LLM
        config = (reranker.llm if provider == LLM else reranker).config
        self.model = str(config.model)
        self._reranker = reranker
        self._call = call
        # mem0's own asks the language model for one text after the other: here each is a call of its own, side by side
        self._texts_of_a_call = 1 if provider == LLM else settings.reranker_top_n
        self._threads = ThreadPoolExecutor(settings.llm_concurrency, thread_name_prefix=f"reranker-{provider}")

    @classmethod
    def create(cls, settings: RerankerSettings) -> ProviderReranker:
        """Make the reranker, without calling its provider. Blocks. Raises :class:`RerankerRejected`."""
        provider = NAMES.get(settings.reranker_provider, settings.reranker_provider)
        known = reranker_factory().provider_to_class
        if provider not in known:
            names = ", ".join(sorted({"llm", *known}))
            raise RerankerRejected(f"RERANKER_PROVIDER={provider} is unknown; expected none or one of {names}")
        call = _Call()
        try:
            return cls(settings, provider, _make(settings, provider, call), call)
        except ImportError as error:
            if provider == LLM:
                raise RerankerRejected(str(missing_package(settings.llm_provider, error))) from error
            raise RerankerRejected(
                f"RERANKER_PROVIDER={provider} needs a package that is not installed ({error}); {COHERE_WAY}"
            ) from error
        except (RerankerRejected, InferenceRejected) as error:
            raise RerankerRejected(str(error)) from error
        except Exception as error:  # whatever a vendor's client dislikes
            raise RerankerRejected(f"RERANKER_PROVIDER={provider} cannot be set up: {cause(error)}") from error

    async def scores(self, query: str, texts: Sequence[str], seconds: float, spent: Spent) -> list[float]:
        loop, until, size = asyncio.get_running_loop(), time.monotonic() + seconds, self._texts_of_a_call
        calls = [
            loop.run_in_executor(self._threads, self._scores, query, list(texts[start : start + size]), until)
            for start in range(0, len(texts), size)
        ]

        async def told(call: asyncio.Future[tuple[list[float] | None, Usage]]) -> list[float] | None:
            found, cost = await call
            spent(cost)
            return found

        try:
            parts = await asyncio.gather(*map(told, calls))
        finally:
            for call in calls:  # those that have not begun need not
                call.cancel()
        scores = [score for part in parts if part is not None for score in part]
        if len(scores) < len(texts):
            raise RerankerFailed(self._said(AnswerWithoutNumber()), of_texts=bool(scores))
        return scores

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _scores(self, query: str, texts: list[str], until: float) -> tuple[list[float] | None, Usage]:
        """The scores, or ``None`` where a language model's answer has no number in it; and what that has cost."""
        self._call.at, self._call.response, self._call.usage = until, None, Usage()
        try:
            ranked = self._reranker.rerank(
                query, [{"text": text, "place": place} for place, text in enumerate(texts)], top_k=len(texts)
            )
            scores = {entry["place"]: float(entry["rerank_score"]) for entry in ranked}
        except _Escape as escape:
            if isinstance(escape.__cause__, AnswerWithoutNumber):
                return None, self._call.usage
            raise RerankerFailed(self._said(escape.__cause__ or escape)) from escape
        except Exception as error:
            raise RerankerFailed(self._said(error)) from error
        if scores.keys() != set(range(len(texts))) or not all(map(math.isfinite, scores.values())):
            raise RerankerFailed(f"{self.provider} did not answer one score for each of {len(texts)} texts")
        if self.provider != LLM and not any(scores.values()):
            raise RerankerFailed(f"{self.provider} failed, or gave all texts the score 0")
        return [scores[place] for place in range(len(texts))], self._call.usage

    def _said(self, error: BaseException) -> str:
        who = f"{self.provider} model {self.model}"
        status = status_of(error)
        if status in (401, 403):  # the body may repeat the key
            return f"{who} refused the key (HTTP {status})"
        return f"{who} answered HTTP {status}: {cause(error)}" if status else f"{who}: {cause(error)}"


def _make(settings: RerankerSettings, provider: str, call: _Call) -> Any:
    config = mem0_config(settings, provider)
    if provider in OWN_MACHINE:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing is downloaded at run time
    if provider != LLM:
        reranker = reranker_factory().create(provider, config)
        if provider == "cohere":
            reranker.client = _Cohere(reranker, settings)
        elif provider == "zero_entropy":
            call_within(reranker, provider, seconds=settings.reranker_timeout_seconds, retries=0, deadline=call)
        return reranker
    reached = llm_settings(settings)
    _, config_class = llms.provider_class(reached.provider)
    given = llm_config(reached, config_class, os.environ) | {"temperature": 0.0}
    reranker = reranker_factory().create(LLM, {**config, "llm": {"provider": reached.provider, "config": given}})
    llms.watch_response(reranker.llm, call)
    llms.prepare(reranker.llm, reached, call)
    asked = _counting(reranker.llm.generate_response, call)
    reranker.llm.generate_response = _escaping(_with_a_number(asked))
    return reranker


class _Cohere:
    """Cohere's client as mem0 calls it: the present version of its protocol, with an address and a time limit."""

    def __init__(self, reranker: Any, settings: RerankerSettings) -> None:
        from cohere import ClientV2

        client = ClientV2(
            reranker.api_key,
            base_url=settings.reranker_base_url,
            timeout=settings.reranker_timeout_seconds,
            max_retries=0,
        )
        self._rerank = _escaping(client.rerank)

    def rerank(self, *, model: str, query: str, documents: list[str], top_n: int, **_: object) -> Any:
        """``return_documents`` and ``max_chunks_per_doc``, which mem0 passes too, were of version 1 alone."""
        return self._rerank(model=model, query=query, documents=documents, top_n=top_n)


def _escaping(call: Callable[..., Any]) -> Callable[..., Any]:
    def called(*arguments: Any, **named: Any) -> Any:
        try:
            return call(*arguments, **named)
        except Exception as error:
            raise _Escape from error

    return called


def _counting(generate: Callable[..., Any], call: _Call) -> Callable[..., Any]:
    def called(messages: list[dict[str, str]], **named: Any) -> Any:
        text = generate(messages=messages, **named)
        said = text if isinstance(text, str) else ""
        call.usage = read_usage(call.response) or estimate([message["content"] for message in messages], said)
        return text

    return called


def _with_a_number(call: Callable[..., Any]) -> Callable[..., Any]:
    """mem0 takes an answer without a number for the score .5."""

    def called(*arguments: Any, **named: Any) -> Any:
        text = call(*arguments, **named)
        if not isinstance(text, str) or not re.search(r"\d", text):
            raise AnswerWithoutNumber
        return text

    return called
