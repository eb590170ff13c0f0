"""The blocking client."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Self, TypeVar, cast

import httpx

from memsys import operations, streaming, wire
from memsys.breaker import CircuitBreaker
from memsys.delegation import Delegation
from memsys.events import EventMethods
from memsys.exchange import Attempt, Attempted, Options, Outcome, exchange
from memsys.feedback import FeedbackMethods
from memsys.graph_methods import GraphMethods
from memsys.key_methods import KeyMethods
from memsys.models import (
    AddResults,
    GraphStatus,
    HistoryEntry,
    ImportReport,
    Info,
    Memory,
    Page,
    SearchResults,
    SyncReport,
)
from memsys.operations import Call, Content, Scope
from memsys.oversight_methods import OversightMethods
from memsys.retry import RetryPolicy
from memsys.sending import Chunks, Lines
from memsys.shaped_exports import ShapedExportMethods
from memsys.slots import Slots

T = TypeVar("T")


class Client(KeyMethods, EventMethods, FeedbackMethods, ShapedExportMethods, GraphMethods, OversightMethods):
    """Talks to a memsys service, blocking. One instance per service: it pools connections.

    Safe to share between threads.

    Every method raises :class:`~memsys.errors.ProblemError` where the service refused, and
    :class:`~memsys.errors.Unavailable` where it could not be had.

    ``timeout`` and ``budget`` do not cover what blocks outside of this client's hands: the look-up of the service's
    name, which ends when the system's resolver gives up, and an answer's headers while they go on coming byte by byte.
    An answer's body is covered. The asynchronous client ends all of these in time.
    """

    def __init__(
        self,
        base_url: str,
        key: str | None = None,
        *,
        project: str | None = None,
        timeout: float = 10.0,
        budget: float = 30.0,
        connect_timeout: float = 2.0,
        max_connections: int = 100,
        retry: RetryPolicy | None = None,
        breaker: CircuitBreaker | None = None,
        transport: httpx.BaseTransport | None = None,
        environment_proxies: bool = True,
    ) -> None:
        """At most ``max_connections`` are open at once; half of them at most are held by exports and imports.

        Without ``environment_proxies`` ``HTTP_PROXY`` and the like are not heeded: nobody else sees the keys.
        """
        self._options = Options(key=key, project=project, timeout=timeout, budget=budget)
        self._retry = retry or RetryPolicy()
        self._breaker = breaker or CircuitBreaker()
        self._connect_timeout = connect_timeout
        self._slots = Slots(max_connections)
        limits = wire.limits(max_connections)
        if transport is None and not environment_proxies:
            # A transport of one's own rather than trust_env=False, which would take SSL_CERT_FILE along.
            transport = httpx.HTTPTransport(limits=limits)
        self._http = httpx.Client(base_url=wire.base_url(base_url), limits=limits, transport=transport)

    def with_options(
        self,
        *,
        key: str | None = None,
        project: str | None = None,
        request_id: str | None = None,
        delegation: Delegation | None = None,
        traceparent: str | None = None,
        timeout: float | None = None,
        budget: float | None = None,
        breaker: CircuitBreaker | None = None,
    ) -> Self:
        """The same client and connections with other options; ``None`` leaves one as it was.

        With a ``delegation`` the key is used on behalf of somebody else, and reaches no further than that says.
        A ``breaker`` of its own keeps calls with a tighter time-out from opening the circuit for the others.
        """
        given = {
            "key": key,
            "project": project,
            "request_id": request_id,
            "delegation": delegation,
            "traceparent": traceparent,
            "timeout": timeout,
            "budget": budget,
        }
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other._options = self._options.with_changes(**{k: v for k, v in given.items() if v is not None})
        if breaker is not None:
            other._breaker = breaker
        return other

    def add(
        self,
        content: Content,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        app_id: str | None = None,
        run_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        infer: bool | None = None,
        timestamp: datetime | None = None,
        expires_at: datetime | None = None,
        ttl_seconds: int | None = None,
        idempotency_key: str | None = None,
        accepted_at: datetime | None = None,
    ) -> AddResults:
        """Store a text, or messages ``{"role", "content", "name"?}``. ``timestamp`` is when it happened.

        ``accepted_at`` is when it was taken from its writer, where that was earlier: what was erased since is refused
        (:class:`Erased`).
        """
        return self._send(
            operations.add(
                content,
                scope=Scope(user_id, agent_id, app_id, run_id),
                metadata=metadata,
                infer=infer,
                timestamp=timestamp,
                expires_at=expires_at,
                ttl_seconds=ttl_seconds,
                idempotency_key=idempotency_key,
                accepted_at=accepted_at,
            )
        )

    def search(
        self,
        query: str,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        app_id: str | None = None,
        run_id: str | None = None,
        top_k: int | None = None,
        threshold: float | None = None,
        filters: Mapping[str, Any] | None = None,
        explain: bool | None = None,
        as_of: datetime | None = None,
    ) -> SearchResults:
        """Find memories by meaning, words and relations, best first."""
        return self._send(
            operations.search(
                query,
                scope=Scope(user_id, agent_id, app_id, run_id),
                top_k=top_k,
                threshold=threshold,
                filters=filters,
                explain=explain,
                as_of=as_of,
            )
        )

    def list(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        app_id: str | None = None,
        run_id: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
        filters: Mapping[str, Any] | None = None,
        as_of: datetime | None = None,
    ) -> Page:
        """One page of memories, now or as known at a moment. Pass its ``next_cursor`` for the next."""
        scope = Scope(user_id, agent_id, app_id, run_id)
        return self._send(
            operations.list_memories(scope=scope, limit=limit, cursor=cursor, filters=filters, as_of=as_of)
        )

    def get(self, memory_id: uuid.UUID | str, *, as_of: datetime | None = None) -> Memory:
        """One memory, now or as known at a moment. Raises :class:`~memsys.errors.NotFound`."""
        return self._send(operations.get(memory_id, as_of=as_of))

    def update(
        self,
        memory_id: uuid.UUID | str,
        *,
        text: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        timestamp: datetime | None = None,
        expires_at: datetime | None = None,
        ttl_seconds: int | None = None,
        never_expires: bool = False,
        version: int | None = None,
        idempotency_key: str | None = None,
    ) -> Memory:
        """Write the next version: what is given is replaced, the old version stays in the history.

        With ``version``, only if the memory is still at it; else :class:`~memsys.errors.Conflict`. Called again with
        the same ``idempotency_key``, it answers the version that the first call wrote.
        """
        return self._send(
            operations.update(
                memory_id,
                text=text,
                metadata=metadata,
                timestamp=timestamp,
                expires_at=expires_at,
                ttl_seconds=ttl_seconds,
                never_expires=never_expires,
                version=version,
                idempotency_key=idempotency_key,
            )
        )

    def delete(self, memory_id: uuid.UUID | str) -> None:
        """Delete one memory. Raises :class:`~memsys.errors.NotFound`."""
        return self._send(operations.delete(memory_id))

    def delete_all(
        self,
        *,
        user_id: str | None = None,
        agent_id: str | None = None,
        app_id: str | None = None,
        run_id: str | None = None,
    ) -> None:
        """Delete every memory of a scope. Raises :class:`ValueError` where no id is given."""
        return self._send(operations.delete_all(scope=Scope(user_id, agent_id, app_id, run_id)))

    def history(
        self, memory_id: uuid.UUID | str, *, after: int | None = None, limit: int | None = None
    ) -> Sequence[HistoryEntry]:
        """The changes of one memory, oldest first; those after a version, at most so many."""
        return self._send(operations.history(memory_id, after=after, limit=limit))

    def sync_graph(self, memory_id: uuid.UUID | str | None = None) -> SyncReport:
        """Bring the graph up to date now, for one memory or all that is due."""
        return self._send(operations.sync_graph(memory_id))

    def graph_status(self) -> GraphStatus:
        """How far the graph is behind."""
        return self._send(operations.graph_status())

    def info(self) -> Info:
        """What the service runs on. The cheapest call that checks a key."""
        return self._send(operations.info())

    def export(self, *, heads: bool = False) -> Chunks:
        """The project with all its history as JSON Lines, in pieces; with ``heads`` only what can be read now.

        Raises :class:`~memsys.errors.Unreachable` where it breaks off; a whole one has a last line that says so.
        """
        return self._pieces(operations.export(heads=heads))

    def import_lines(self, lines: Lines) -> ImportReport:
        """Write the lines of an export, in whatever pieces they come; needs an admin key of the project.

        Never retried by itself. What is there already stays as it is, so it may be called again with the same lines.
        """
        return self._send_lines(operations.import_lines(), lines)

    def alive(self) -> None:
        """Return if the service runs, whatever it may be waiting for."""
        return self._send(operations.alive())

    def ready(self) -> None:
        """Return if the service can serve; :class:`~memsys.errors.Unavailable` names what it waits for."""
        return self._send(operations.ready())

    def close(self) -> None:
        """Close the connections, also those of clients made by :meth:`with_options`."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _send(self, call: Call[T]) -> T:
        arguments = wire.request_arguments(call, self._options)
        steps = exchange(call, self._options, policy=self._retry, breaker=self._breaker)
        outcome: Outcome = None
        try:
            step = next(steps)
            while True:
                if isinstance(step, Attempt):
                    outcome = self._attempt(arguments, step.timeout)
                else:
                    time.sleep(step.seconds)
                    outcome = None
                step = steps.send(outcome)
        except StopIteration as done:
            result: T = done.value
            return result
        finally:
            steps.close()

    def _pieces(self, call: Call[None]) -> Chunks:
        return streaming.pieces(self._http, self._slots, call, self._options, self._connect_timeout)

    def _send_lines(self, call: Call[T], lines: Lines) -> T:
        return streaming.send(self._http, self._slots, call, self._options, self._connect_timeout, lines)

    def _attempt(self, arguments: dict[str, Any], seconds: float) -> Attempted:
        deadline = time.monotonic() + seconds
        try:
            with self._slots.call(seconds):
                limit = wire.attempt_timeout(max(0.001, deadline - time.monotonic()), self._connect_timeout)
                # httpx limits each read; the deadline limits the attempt, so that a trickle of bytes cannot stretch it.
                with self._http.stream(**wire.signed(arguments, self._options, time.time()), timeout=limit) as answer:
                    answer.stream = streaming.Until(cast(httpx.SyncByteStream, answer.stream), deadline)
                    answer.read()
                    return answer
        except (httpx.TransportError, httpx.DecodingError) as error:
            return error
