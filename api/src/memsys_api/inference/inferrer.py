"""The flow of one inference: trivia, prompt, call, parse, perhaps once more, decide; a breaker before every call."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Protocol, TypeVar

from memsys_api.inference.answers import WrongForm
from memsys_api.inference.breaker import Breaker, Rules
from memsys_api.inference.chat import Completion
from memsys_api.inference.decisions import Conversation, decide
from memsys_api.inference.prompt import correction, user_prompt
from memsys_api.inference.shaping import Check, read_shaped, shaping_correction, shaping_prompt
from memsys_api.inference.tolerant_json import NotJson, loads
from memsys_api.inference.trivia import holds_no_fact
from memsys_api.inference.types import (
    Inference,
    InferenceError,
    InferenceMalformed,
    InferenceRejected,
    InferenceRequest,
    InferenceUnavailable,
    Spent,
    State,
    Usage,
    unheeded,
)
from memsys_api.model import Memory

Answer = TypeVar("Answer")

MOST_EXISTING = 20
LONGEST_INPUT = 200_000  # characters of all messages together
SHOWN_OF_A_BAD_ANSWER = 2_000  # characters, when the model is asked again


class Model(Protocol):
    """What is asked: :class:`memsys_api.inference.chat.Chat`, or one that plays it."""

    provider: str
    model: str

    async def complete(self, prompt: list[dict[str, str]], seconds: float) -> Completion: ...

    async def close(self) -> None: ...


class LlmInferrer:
    """Implements :class:`~memsys_api.inference.types.Inferrer`."""

    def __init__(
        self,
        model: Model,
        *,
        system_for_user: str,
        system_for_agent: str,
        normalise: Callable[[str], str],
        timeout_seconds: float,
        concurrency: int,
        rules: Rules | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model = model
        self._system_for_user = system_for_user
        self._system_for_agent = system_for_agent  # for what an agent remembers of its own, without a user
        self._normalise = normalise
        self._timeout = timeout_seconds
        self._clock = clock
        self._slots = asyncio.Semaphore(concurrency)
        self._breaker = Breaker(rules or Rules())
        self._last_error: str | None = None
        # Reading a long answer takes milliseconds of pure Python: beside the event loop, and one at a time, so that the
        # loop competes with one thread and not with many.
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="inference-reader")

    async def infer(self, request: InferenceRequest, spent: Spent = unheeded) -> Inference:
        if holds_no_fact(request.messages):
            return Inference()
        if (length := sum(len(message.content) for message in request.messages)) > LONGEST_INPUT:
            raise InferenceRejected(
                f"the messages have {length} characters, at most {LONGEST_INPUT} can be inferred at once: send fewer",
                subject="input",
            )
        conversation = Conversation(
            messages=request.messages,
            existing=request.existing[:MOST_EXISTING],
            observed_at=request.observed_at,
            now=datetime.now(UTC),
            normalise=self._normalise,
            names={"user": request.user, "assistant": request.agent},
        )
        question = user_prompt(
            request.messages,
            conversation.existing,
            observed_at=request.observed_at,
            instructions=request.instructions,
            includes=request.includes,
            excludes=request.excludes,
        )
        system = self._system_for_agent if request.agent and not request.user else self._system_for_user
        prompt = [{"role": "system", "content": system}, {"role": "user", "content": question}]
        usage = Usage()

        def told(cost: Usage) -> None:
            nonlocal usage
            usage += cost
            spent(cost)

        found = await self._answered(prompt, partial(_read, conversation=conversation), correction, told)
        return replace(found, usage=usage)

    async def shape(
        self,
        memories: Sequence[Memory],
        schema: Mapping[str, Any],
        check: Check,
        spent: Spent = unheeded,
        *,
        instructions: str | None = None,
    ) -> dict[str, Any]:
        if (length := sum(len(memory.text) for memory in memories)) > LONGEST_INPUT:
            raise InferenceRejected(
                f"the memories have {length} characters, at most {LONGEST_INPUT} can be shaped at once: ask for fewer",
                subject="input",
            )
        prompt = shaping_prompt(memories, schema, instructions)
        return await self._answered(prompt, partial(read_shaped, check=check), shaping_correction, spent)

    def state(self) -> State:
        left = self._breaker.seconds_left(self._clock())
        available = self._breaker.state == "closed"
        return State(self._model.provider, self._model.model, available, None if available else left, self._last_error)

    async def close(self) -> None:
        self._reader.shutdown(wait=False, cancel_futures=True)
        await self._model.close()

    async def _answered(
        self,
        prompt: list[dict[str, str]],
        read: Callable[[Completion], Answer],
        corrected: Callable[[str], str],
        spent: Spent,
    ) -> Answer:
        """What the model answers; it is asked once more when its answer cannot be read."""
        loop = asyncio.get_running_loop()
        deadline = self._clock() + self._timeout
        first = await self._ask(prompt, deadline)
        spent(first.usage)  # now: what is paid is paid, however the rest ends
        try:
            return await loop.run_in_executor(self._reader, read, first)
        except (NotJson, WrongForm) as error:
            problem = str(error)
        prompt += [
            {"role": "assistant", "content": first.text[:SHOWN_OF_A_BAD_ANSWER] or "(nothing)"},
            {"role": "user", "content": corrected(problem)},
        ]
        second = await self._ask(prompt, deadline)
        spent(second.usage)
        try:
            return await loop.run_in_executor(self._reader, read, second)
        except (NotJson, WrongForm) as error:
            raise InferenceMalformed(
                f"{self._model.provider} model {self._model.model} answered twice with something unreadable: {error}"
            ) from error

    async def _ask(self, prompt: list[dict[str, str]], deadline: float) -> Completion:
        """One call, when its turn comes: within half of the time, so that the call itself has the other half.

        To wait in vain says nothing about the provider, and no breaker counts it.
        """
        patience = (deadline - self._clock()) / 2
        try:
            async with asyncio.timeout(patience):
                await self._slots.acquire()
        except TimeoutError:
            raise InferenceUnavailable(
                f"no call of {self._model.provider} model {self._model.model} became free within {patience:.3g} s: "
                "send less at once or raise LLM_CONCURRENCY"
            ) from None
        try:
            return await self._ask_now(prompt, deadline)
        finally:
            self._slots.release()

    async def _ask_now(self, prompt: list[dict[str, str]], deadline: float) -> Completion:
        """One call, through the breaker: whatever the provider answers about this request, it is alive."""
        now = self._clock()
        self._breaker, ticket = self._breaker.acquire(now)
        if ticket is None:
            left = self._breaker.seconds_left(now)
            raise InferenceUnavailable(
                f"{self._model.provider} model {self._model.model} is left alone for {left:.0f} s after failures; "
                f"the last one: {self._last_error}",
                retry_after=left,
            )
        reported = False
        try:
            completion = await self._model.complete(prompt, max(deadline - now, 0.001))
            self._breaker, reported = self._breaker.succeeded(ticket), True
            self._last_error = None
            return completion
        except InferenceError as error:
            if isinstance(error, InferenceRejected) and error.subject == "input":
                self._breaker = self._breaker.succeeded(ticket)
            else:
                self._last_error = str(error)
                wait = error.retry_after if isinstance(error, InferenceUnavailable) else None
                self._breaker = self._breaker.failed(ticket, self._clock(), retry_after=wait)
            reported = True
            raise
        finally:
            if not reported:
                self._breaker = self._breaker.abandoned(ticket, self._clock())


def _read(completion: Completion, conversation: Conversation) -> Inference:
    parsed = loads(completion.text)
    decisions, dropped = decide(parsed.value, conversation)
    return Inference(decisions, truncated=parsed.truncated or completion.cut_off, dropped=dropped)
