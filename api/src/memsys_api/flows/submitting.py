"""Adds that are answered at once and carried out afterwards: what was said is stored, what it means is found later.

The way of an outage of the language model is the way of these, on purpose: the messages are stored as they were said,
marked, in one transaction with their place in the queue of the back-fill, which puts what the model finds in their
place. So nothing is ever held anywhere but among the memories, and when the model cannot read it, there it stays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any
from uuid import UUID, uuid4

from memsys_api.erasing import late
from memsys_api.flows.drafts import Draft, finished, thread_of
from memsys_api.flows.inferring import to_json
from memsys_api.flows.memories import conversation_of, drafts_of, kept_of, request_content, saying_something, words_of
from memsys_api.model import Outcome, Scope
from memsys_api.ports import Embedder
from memsys_api.problems import NOT_FOUND, ProblemError, key_reused
from memsys_api.quarantine.detect import Finding, texts_of
from memsys_api.quarantine.gate import Gate, refused
from memsys_api.schemas import AddRequest
from memsys_api.store import add_events, facts, idempotency, inferences, versions
from memsys_api.store.add_events import AddEvent
from memsys_api.store.contents import NewVersion, insert_entities
from memsys_api.store.database import Connection, Database
from memsys_api.store.generations import Generation
from memsys_api.store.held import Kept
from memsys_api.store.idempotency import Once
from memsys_api.store.outbox import Outbox

Item = tuple[Scope, AddRequest]
"""An add and where it belongs; those of one submission are of one project."""


@dataclass(frozen=True)
class _Ready:
    """What is written of one add."""

    scope: Scope
    new: Sequence[NewVersion] = ()
    waiting: dict[str, Any] | None = None
    """How it is to be inferred; ``None``: it is stored as it was said."""
    suspect: tuple[Kept, list[Finding]] | None = None
    """It is held for review, and nothing else of it is written."""


class Submitting:
    """Takes adds, and tells what has become of them."""

    def __init__(
        self,
        database: Database,
        generation: Generation,
        embedder: Embedder,
        outbox: Outbox,
        wake_backfill: Callable[[], None] | None,
        gate: Gate,
    ) -> None:
        self._database = database
        self._generation = generation
        self._embedder = embedder
        self._outbox = outbox
        self._wake_backfill = wake_backfill
        self._gate = gate

    async def submit(
        self,
        project: str,
        items: Sequence[Item],
        *,
        actor: str,
        idempotency_key: str | None = None,
        within: str | None = None,
        accepted_at: datetime | None = None,
    ) -> list[AddEvent]:
        """Store what all these adds say, in one transaction or not at all; one event for each, in order.

        What there is a language model for waits for it; what the project's policy holds waits for review; everything
        else has succeeded already. The same ``idempotency_key`` with the same adds is answered with their events as
        they are by then. ``within`` is the field of the request that the adds stand in, for refusals.

        Raises a ``quarantined`` problem where the policy refuses one of them, and an ``erased`` one as
        :meth:`memsys_api.flows.memories.Memories.add`.
        """
        once = None if idempotency_key is None else Once(idempotency_key, _hash(items))
        if accepted_at is not None:
            async with self._database.transaction(project) as conn:
                await self._refuse_late(conn, items, accepted_at)
        if once is not None:
            async with self._database.transaction(project) as conn:
                earlier = await self._earlier(conn, project, once)
            if earlier is not None:
                return earlier
        ready = await self._prepare(project, items, await self._suspect(project, items, within), actor)
        ids = [uuid4() for _ in ready]
        async with self._database.transaction(project) as conn:
            await self._refuse_late(conn, items, accepted_at)
            if once is not None and not await idempotency.claim(conn, project, once):
                earlier = await self._earlier(conn, project, once)
                assert earlier is not None  # it was in the way just now
                return earlier
            await versions.ensure_project(conn, project)
            await insert_entities(conn, project, [n for one in ready for n in one.new])
            for event_id, one in zip(ids, ready, strict=True):
                await self._write(conn, event_id, one)
            events = await add_events.read(conn, Scope(project), ids)
            if once is not None:
                await idempotency.remember_events(conn, project, once.key, events)
        self._outbox.wake()
        if self._wake_backfill:
            self._wake_backfill()
        return events

    async def _refuse_late(self, conn: Connection, items: Sequence[Item], accepted_at: datetime | None) -> None:
        for scope, _ in items:
            await late.refuse(conn, scope, accepted_at)

    async def _suspect(self, project: str, items: Sequence[Item], within: str | None) -> dict[int, list[Finding]]:
        """Which of the adds the project's policy holds, by their places, and why. Raises a refusal of all of them."""
        texts = [
            texts_of(words_of(request), f"{within}.{place}" if within else "")
            for place, (_, request) in enumerate(items)
        ]
        found = await self._gate.stopped_of_each(project, texts)
        suspect = {place: findings for place, findings in enumerate(found) if findings}
        if suspect and await self._gate.mode(project) != "hold":
            raise refused([finding for findings in suspect.values() for finding in findings])
        return suspect

    async def event(self, scope: Scope, event_id: UUID) -> AddEvent:
        """What has become of an add. Raises a ``not-found`` problem."""
        async with self._database.transaction(scope.project) as conn:
            found = await add_events.read(conn, scope, [event_id])
        if not found:
            raise ProblemError(NOT_FOUND, "there is no such event")
        return found[0]

    async def _earlier(self, conn: Connection, project: str, once: Once) -> list[AddEvent] | None:
        """The events of an earlier submission under the key."""
        earlier = await idempotency.recall(conn, project, once.key)
        if earlier is None:
            return None
        if earlier.request_hash != once.request_hash:
            raise key_reused()
        events = await add_events.read(conn, Scope(project), earlier.event_ids)
        if len(events) < len(earlier.event_ids):  # erased, of whom there was nothing else to know the key by
            raise key_reused()
        return events

    async def _prepare(
        self, project: str, items: Sequence[Item], suspect: Mapping[int, list[Finding]], actor: str
    ) -> list[_Ready]:
        """All that needs no transaction: one embedding of all messages together."""
        drafts: list[Draft] = []
        ready, counts = [], []
        for place, (scope, request) in enumerate(items):
            if findings := suspect.get(place):
                ready.append(_Ready(scope, suspect=(kept_of(scope, request, actor), findings)))
                counts.append(0)
                continue
            observed_at = request.timestamp or datetime.now(UTC)
            waits = self._wake_backfill is not None and request.infer
            turns = saying_something(request) if waits else request.turns()
            provenance = {"key": actor, "verbatim": True} | ({"inference": "pending"} if waits else {})
            own = drafts_of(request, turns, observed_at, provenance)
            waiting = to_json(scope, conversation_of(request, turns, observed_at, actor)) if waits and own else None
            drafts += own
            ready.append(_Ready(scope, waiting=waiting))
            counts.append(len(own))
        new = iter(await finished(self._embedder, drafts, mark=await self._gate.marks(project)))
        return [replace(one, new=list(islice(new, count))) for one, count in zip(ready, counts, strict=True)]

    async def _write(self, conn: Connection, event_id: UUID, one: _Ready) -> None:
        if one.suspect is not None:
            review = (await self._gate.hold(conn, *one.suspect)).id
            await add_events.insert(conn, one.scope, event_id, [], finished=False, review=review)
            return
        ids = [n.id for n in one.new]
        if one.new:
            await versions.insert_first(conn, self._generation, one.scope, thread_of(one.scope, len(ids)), one.new)
            await self._outbox.enqueue(conn, one.scope.project, [(i, 1) for i in ids])
        if one.waiting is not None:
            scope_key = facts.scope_key(one.scope)
            await inferences.enqueue(conn, one.scope.project, event_id, scope_key, ids, one.waiting)
        outcomes = [Outcome(n.id, n.text, inference="pending" if one.waiting else None) for n in one.new]
        await add_events.insert(conn, one.scope, event_id, outcomes, finished=one.waiting is None)


def _hash(items: Sequence[Item]) -> str:
    content = ["submitted", *(request_content(scope, request) for scope, request in items)]
    return idempotency.hash_of(content)
