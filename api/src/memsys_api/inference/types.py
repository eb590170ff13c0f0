"""The words of inference: what goes in, what is decided about each fact, what can go wrong. Plain values, no I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from datetime import datetime
from typing import Any, Literal, Protocol, TypeAlias
from uuid import UUID

from memsys_api.model import Extraction, Memory

Role: TypeAlias = Literal["user", "assistant"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation. ``name`` is the speaker's, when known. Messages of role ``system`` hold no facts."""

    role: str
    content: str
    name: str | None = None


@dataclass(frozen=True, slots=True)
class InferenceRequest:
    """One conversation to read facts out of, with what helps to."""

    messages: Sequence[Message]
    existing: Sequence[Memory] = ()
    """Current memories of the same scope, best match first; those beyond the first 20 are not shown."""
    _: KW_ONLY
    observed_at: datetime
    """When the conversation took place (aware): "yesterday" is counted from it."""
    user: str | None = None
    """Who speaks in the role user where a message has no name."""
    agent: str | None = None
    """The same of the role assistant."""
    instructions: str | None = None
    """Steers what is kept, as the next two do."""
    includes: str | None = None
    excludes: str | None = None


@dataclass(frozen=True, slots=True)
class Fact:
    """One statement worth keeping, read out of the messages.

    ``sources`` are positions in :attr:`InferenceRequest.messages`, never empty. ``speaker`` and ``role``
    are those of the first source, not what the model claims. ``event_time`` is when the fact holds or happens, if the
    model could tell. ``linked`` are existing memories that it relates to. ``grounded`` is false when the text shares
    hardly any words or numbers with what was said: perhaps invented, so it never ends another memory.
    """

    text: str
    fingerprint: str
    sources: tuple[int, ...]
    role: Role
    speaker: str | None
    event_time: datetime | None
    extraction: Extraction
    linked: tuple[UUID, ...]
    grounded: bool


@dataclass(frozen=True, slots=True)
class Add:
    """Store the fact as a new memory."""

    fact: Fact


@dataclass(frozen=True, slots=True)
class Supersede:
    """Store the fact as the next version of ``target``, whose present version ends in time."""

    target: UUID
    fact: Fact


@dataclass(frozen=True, slots=True)
class Nothing:
    """``text`` is known already: ``survivor`` says it. Only its provenance grows, by the ``sources``."""

    survivor: UUID
    text: str
    sources: tuple[int, ...]


Decision: TypeAlias = Add | Supersede | Nothing


@dataclass(frozen=True, slots=True)
class Usage:
    """What the calls cost, in the model's tokens. ``estimated``: the provider did not say, so 4 bytes are one."""

    input_tokens: int = 0
    output_tokens: int = 0
    calls: int = 0
    estimated: bool = False

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.calls + other.calls,
            self.estimated or other.estimated,
        )


Spent: TypeAlias = Callable[[Usage], None]
"""Told what each answer of the model has cost, as soon as it is there and whatever comes after it. May not raise."""


def unheeded(usage: Usage) -> None:
    """For callers who keep no account of what inference costs."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """Something the model answered that was not used, and why."""

    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class Inference:
    """The outcome for one conversation, facts in the order of the model's answer.

    No decision means: nothing worth keeping was said. ``truncated``: the model ran out of tokens, so that facts may
    be missing; those complete before the cut are here.
    """

    decisions: tuple[Decision, ...] = ()
    usage: Usage = Usage()
    truncated: bool = False
    dropped: tuple[Dropped, ...] = ()


@dataclass(frozen=True, slots=True)
class State:
    """How the language model is, without asking it."""

    provider: str
    model: str
    available: bool
    retry_after: float | None
    last_error: str | None


class InferenceError(Exception):
    """Base of all that inference raises. The message may be shown: it holds no key."""


class InferenceUnavailable(InferenceError):
    """The model is away, overloaded or too slow: the same call may succeed, in ``retry_after`` seconds if known."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class InferenceRejected(InferenceError):
    """The same call will fail again until the ``settings`` (key, model, URL) or the ``input`` change."""

    def __init__(self, message: str, *, subject: Literal["settings", "input"] = "settings") -> None:
        super().__init__(message)
        self.subject = subject


class InferenceMalformed(InferenceError):
    """The model answered, twice, with something that holds no facts in the agreed form."""


class Inferrer(Protocol):
    """Reads facts out of conversations with a language model."""

    async def infer(self, request: InferenceRequest, spent: Spent = unheeded) -> Inference:
        """Read the facts out of the messages and decide about each against what exists, in one call of the model.

        Messages that hold no fact whatever ("ok, thanks!") are answered at once, without the model. ``spent`` is told
        of every answer, also where this raises or is cancelled afterwards. Raises nothing but :class:`InferenceError`.
        Never blocks the event loop.
        """
        ...

    async def shape(
        self,
        memories: Sequence[Memory],
        schema: Mapping[str, Any],
        check: Callable[[Any], list[str]],
        spent: Spent = unheeded,
        *,
        instructions: str | None = None,
    ) -> dict[str, Any]:
        """Bring ``memories`` into the form of one JSON object.

        ``schema`` is the JSON Schema that the model is shown, and ``check`` tells what is wrong with its answer: the
        model is asked once more when that is anything. ``spent`` is told as by :meth:`infer`. Raises nothing but
        :class:`InferenceError`. Never blocks the event loop; ``check`` is called in a thread.
        """
        ...

    def state(self) -> State: ...

    async def close(self) -> None: ...
