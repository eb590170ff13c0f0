"""How one call is carried out: attempts, pauses, the circuit breaker, the verdict. Sans-I/O.

The generator says what to do next; a driver, blocking or not, does it and sends back what happened. So
retrying is written once and tested without a network.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from typing import TypeVar

import httpx

from memsys import headers
from memsys.breaker import CircuitBreaker
from memsys.delegation import Delegation
from memsys.errors import CircuitOpen, UnexpectedAnswer, Unreachable, Unsendable, problem
from memsys.operations import Call
from memsys.retry import RETRYABLE_STATUSES, RetryPolicy, parse_retry_after

T = TypeVar("T")

_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
UNSENDABLE = (httpx.UnsupportedProtocol, httpx.LocalProtocolError)
"""What HTTP libraries raise for a request that cannot be written down. Their messages quote headers."""
_GATEWAY = frozenset({502, 504})
_OWN_PROBLEM = b"https://memsys.dev/problems/"


@dataclass(frozen=True, slots=True)
class Options:
    """What may differ from call to call over one connection pool. Times in seconds.

    Raises :class:`ValueError` for what cannot stand in a header, without quoting it.
    """

    key: str | None = field(default=None, repr=False)
    project: str | None = None
    request_id: str | None = None
    delegation: Delegation | None = None
    """For whom the call is made, where not for the key's own holder."""
    traceparent: str | None = None
    """The span that the call belongs to, as W3C Trace Context writes it."""
    timeout: float = 10.0
    """How long one attempt may take."""
    budget: float = 30.0
    """How long the call may take with all its attempts and pauses."""

    def __post_init__(self) -> None:
        for name in ("key", "project", "request_id", "traceparent"):
            if (value := getattr(self, name)) is not None:
                headers.word(name, value)

    def with_changes(self, **changes: str | float | Delegation | None) -> Options:
        """A copy with the given fields replaced."""
        return replace(self, **changes)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Attempt:
    """Send the request now, and give it this many seconds."""

    timeout: float


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait this many seconds."""

    seconds: float


Step = Attempt | Pause
Attempted = httpx.Response | httpx.TransportError | httpx.DecodingError | TimeoutError
Outcome = Attempted | None


def exchange(
    call: Call[T],
    options: Options,
    *,
    policy: RetryPolicy,
    breaker: CircuitBreaker,
    clock: Callable[[], float] = time.monotonic,
    uniform: Callable[[float, float], float] = random.uniform,
) -> Generator[Step, Outcome, T]:
    """Carry out a call. Send in the outcome of each :class:`Attempt`, and ``None`` after a :class:`Pause`.

    Returns what the call reads from its answer. Raises :class:`~memsys.errors.ProblemError`,
    :class:`~memsys.errors.Unavailable`, :class:`~memsys.errors.UnexpectedAnswer` or
    :class:`~memsys.errors.Unsendable`.
    """
    deadline = clock() + options.budget
    failures = 0
    perhaps_done = False
    error: Exception | None = None
    while True:
        wait = breaker.acquire()
        if wait > 0:
            raise error or CircuitOpen(f"not asked: the last calls went unanswered; next try in {wait:.1f} s", wait)
        outcome = yield from _attempt(min(options.timeout, max(0.001, deadline - clock())), breaker)
        if isinstance(outcome, httpx.DecodingError):
            raise undecodable(call, outcome) from outcome
        if isinstance(outcome, UNSENDABLE):
            raise unsendable(call, outcome) from None
        if isinstance(outcome, httpx.Response):
            if outcome.is_success or (call.gone_is_done and perhaps_done and outcome.status_code == 404):
                return call.read(outcome.content)
            retry_after = parse_retry_after(outcome.headers.get("Retry-After"))
            error = problem(
                outcome.status_code,
                outcome.content,
                request_id=outcome.headers.get("X-Request-ID"),
                retry_after=retry_after,
            )
            # 502 in the service's own words: what stands behind it refused, and will again.
            lost = outcome.status_code != 502 or _gateway_alone(outcome)
            again = call.repeatable and outcome.status_code in RETRYABLE_STATUSES and lost
            # 429 and 503 turn a request away; behind 502 and 504 it may have been carried out.
            perhaps_done |= outcome.status_code in _GATEWAY
        else:
            retry_after = None
            error = Unreachable(f"{call.method} {call.path}: {_reason(outcome)}")
            again = call.repeatable or isinstance(outcome, _NEVER_SENT)
            perhaps_done |= not isinstance(outcome, _NEVER_SENT)
        failures += 1
        pause = None
        if again:
            pause = policy.pause(failures, remaining=deadline - clock(), retry_after=retry_after, uniform=uniform)
        if pause is None:
            raise error from (outcome if isinstance(outcome, Exception) else None)
        yield Pause(pause)


def _attempt(timeout: float, breaker: CircuitBreaker) -> Generator[Step, Outcome, Attempted]:
    """One attempt, reported to the breaker however it ends."""
    try:
        outcome = yield Attempt(timeout)
    except BaseException:  # cancelled, or closed by the driver: says nothing about the service
        breaker.abandoned()
        raise
    assert outcome is not None, "an attempt has an outcome"
    if isinstance(outcome, httpx.Response):
        answered = not _gateway_alone(outcome)
    elif isinstance(outcome, httpx.DecodingError):
        answered = True
    elif isinstance(outcome, (httpx.PoolTimeout, *UNSENDABLE)):  # our own doing
        breaker.abandoned()
        return outcome
    else:
        answered = False
    if answered:
        breaker.succeeded()
    else:
        breaker.failed()
    return outcome


def undecodable(call: Call[T], error: httpx.DecodingError) -> UnexpectedAnswer:
    """An answer whose body is not what its Content-Encoding says."""
    return UnexpectedAnswer(
        f"{call.method} {call.path}: the answer is not encoded as its Content-Encoding says: {error}"
    )


def unsendable(call: Call[T], error: httpx.TransportError) -> Unsendable:
    """A request that was never sent. To be raised ``from None``: the cause may quote a key."""
    return Unsendable(f"{call.method} {call.path}: cannot be sent as it is ({type(error).__name__})")


def _gateway_alone(response: httpx.Response) -> bool:
    """Whether a proxy answered for a service that did not."""
    return response.status_code in _GATEWAY and _OWN_PROBLEM not in response.content


def _reason(error: Exception | None) -> str:
    if isinstance(error, httpx.PoolTimeout):  # no word of the service: the client's own connections were all taken
        return f"{error} (PoolTimeout)"
    if isinstance(error, (httpx.TimeoutException, TimeoutError)):
        kind = "no connection in time" if isinstance(error, httpx.ConnectTimeout) else "no answer in time"
        return f"{kind} ({type(error).__name__})"
    return f"{error or 'connection lost'} ({type(error).__name__})"
