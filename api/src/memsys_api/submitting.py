"""Adds that are answered at once and carried out afterwards: what was said is stored, what it means is found later.

The way of an outage of the language model is the way of these, on purpose: the messages are stored as they were said,
marked, in one transaction with their place in the queue of the back-fill, which puts what the model finds in their
place. So nothing is ever held anywhere but among the memories, and when the model cannot read it, there it stays.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any
from uuid import UUID, uuid4

import orjson

from memsys_api.drafts import finished, thread_of
from memsys_api.inferring import to_json
from memsys_api.memories import conversation_of, drafts_of, kept_of, request_content, saying_something, words_of
from memsys_api.model import Outcome, Scope
from memsys_api.ports import Embedder
from memsys_api.problems import IDEMPOTENCY_CONFLICT, NOT_FOUND, FieldError, ProblemError
from memsys_api.quarantine.detect import texts_of
from memsys_api.quarantine.gate import Gate
from memsys_api.schemas import AddRequest
from memsys_api.store import add_events, deliveries, facts, idempotency, inferences, versions
from memsys_api.store.add_events import AddEvent
from memsys_api.store.contents import NewVersion
from memsys_api.store.database import Connection, Database
from memsys_api.store.generations import Generation

Item = tuple[Scope, AddRequest]
"""An add and where it belongs; those of one submission are of one project."""


@dataclass(frozen=True)
class _Ready:
    """What is written of one add."""

    scope: Scope
    new: Sequence[NewVersion]
    waiting: dict[str, Any] | None
    """How it is to be inferred; ``None``: it is stored as it was said."""


class Submitting:
    """Takes adds, and tells what has become of them."""

    def __init__(
        self,
        database: Database,
        generation: Generation,
        embedder: Embedder,
        sinks: Sequence[str],
        wake: Callable[[], None],
        wake_backfill: Callable[[], None] | None,
        gate: Gate,
    ) -> None:
        self._database = database
        self._generation = generation
        self._embedder = embedder
        self._sinks = tuple(sinks)
        self._wake = wake
        self._wake_backfill = wake_backfill
        self._gate = gate

    async def submit(
        self, project: str, items: Sequence[Item], *, actor: str, idempotency_key: str | None = None
    ) -> list[AddEvent]:
        """Store what all these adds say, in one transaction or not at all; one event for each, in order.

        What there is a language model for waits for it; everything else has succeeded already. The same
        ``idempotency_key`` with the same adds is answered with their events as they are by then.
        """
        request_hash = _hash(items)
        if idempotency_key is not None:
            async with self._database.transaction(project) as conn:
                earlier = await self._earlier(conn, project, idempotency_key, request_hash)
            if earlier is not None:
                return earlier
        await self._admit(items, actor, idempotency_key and f"{idempotency_key}\x1f{request_hash}")
        ready = await self._prepare(project, items, actor)
        ids = [uuid4() for _ in ready]
        async with self._database.transaction(project) as conn:
            if idempotency_key is not None and not await idempotency.claim(
                conn, project, idempotency_key, request_hash
            ):
                earlier = await self._earlier(conn, project, idempotency_key, request_hash)
                assert earlier is not None  # it was in the way just now
                return earlier
            await versions.ensure_project(conn, project)
            for event_id, one in zip(ids, ready, strict=True):
                await self._write(conn, event_id, one)
            events = await add_events.read(conn, Scope(project), ids)
            if idempotency_key is not None:
                outcomes = [outcome for event in events for outcome in event.outcomes]
                await idempotency.remember(conn, project, idempotency_key, outcomes, ids)
        self._wake()
        if self._wake_backfill:
            self._wake_backfill()
        return events

    async def _admit(self, items: Sequence[Item], actor: str, repeated: str | None) -> None:
        """Let no suspect add through: one by itself may be held for review, several are refused as a whole."""
        if len(items) == 1:
            scope, request = items[0]
            await self._gate.admit(scope, texts_of(words_of(request)), kept_of(request), actor, repeated=repeated)
            return
        texts = {
            f"items.{place}.{field}": text
            for place, (_, request) in enumerate(items)
            for field, text in texts_of(words_of(request)).items()
        }
        await self._gate.refuse(items[0][0].project, texts)

    async def event(self, scope: Scope, event_id: UUID) -> AddEvent:
        """What has become of an add. Raises a ``not-found`` problem."""
        async with self._database.transaction(scope.project) as conn:
            found = await add_events.read(conn, scope, [event_id])
        if not found:
            raise ProblemError(NOT_FOUND, "there is no such event")
        return found[0]

    async def _earlier(self, conn: Connection, project: str, key: str, request_hash: str) -> list[AddEvent] | None:
        """The events of an earlier submission under the key."""
        earlier = await idempotency.recall(conn, project, key)
        if earlier is None:
            return None
        if earlier.request_hash != request_hash:
            raise ProblemError(
                IDEMPOTENCY_CONFLICT,
                "Idempotency-Key: was used before for another request; use a new key",
                errors=[FieldError("Idempotency-Key", "was used before for another request")],
            )
        return await add_events.read(conn, Scope(project), earlier.event_ids)

    async def _prepare(self, project: str, items: Sequence[Item], actor: str) -> list[_Ready]:
        """All that needs no transaction: one embedding of all messages together."""
        drafts, shapes = [], []
        for scope, request in items:
            observed_at = request.timestamp or datetime.now(UTC)
            waits = self._wake_backfill is not None and request.infer
            turns = saying_something(request) if waits else request.turns()
            provenance = {"key": actor, "verbatim": True} | ({"inference": "pending"} if waits else {})
            own = drafts_of(request, turns, observed_at, provenance)
            waiting = to_json(scope, conversation_of(request, turns, observed_at, actor)) if waits and own else None
            drafts += own
            shapes.append((scope, len(own), waiting))
        new = iter(await finished(self._embedder, drafts, mark=await self._gate.marks(project)))
        return [_Ready(scope, list(islice(new, count)), waiting) for scope, count, waiting in shapes]

    async def _write(self, conn: Connection, event_id: UUID, one: _Ready) -> None:
        ids = [n.id for n in one.new]
        if one.new:
            await versions.insert_first(conn, self._generation, one.scope, thread_of(one.scope, len(ids)), one.new)
            await deliveries.enqueue(conn, one.scope.project, self._sinks, [(i, 1) for i in ids])
        if one.waiting is not None:
            scope_key = facts.scope_key(one.scope)
            await inferences.enqueue(conn, one.scope.project, event_id, scope_key, ids, one.waiting)
        outcomes = [Outcome(n.id, n.text, inference="pending" if one.waiting else None) for n in one.new]
        await add_events.insert(conn, one.scope, event_id, outcomes, finished=one.waiting is None)


def _hash(items: Sequence[Item]) -> str:
    content = ["submitted", *(request_content(scope, request) for scope, request in items)]
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()
