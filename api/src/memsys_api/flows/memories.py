"""The flows of a memory: in, and read again. One transaction per acknowledged write; sinks follow after."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from memsys_api import extraction, inference
from memsys_api.access.budgets import OverBudget
from memsys_api.erasing import late
from memsys_api.flows.drafts import Draft, finished, thread_of
from memsys_api.flows.inferring import Conversation, Inferring, Overtaken, Suspect, Written, to_json
from memsys_api.inference import InferenceError, InferenceRejected
from memsys_api.inference.trivia import holds_no_fact
from memsys_api.model import Memory, Outcome, Scope, Uninferred
from memsys_api.ports import Embedder
from memsys_api.problems import no_such_memory
from memsys_api.quarantine.detect import texts_of
from memsys_api.quarantine.gate import Gate, answered_before, claim_or_answer
from memsys_api.schemas import AddRequest, Message
from memsys_api.store import facts, idempotency, inferences, reads, versions
from memsys_api.store.contents import NewVersion
from memsys_api.store.database import Connection, Database
from memsys_api.store.generations import Generation
from memsys_api.store.held import Kept, Release
from memsys_api.store.idempotency import Once
from memsys_api.store.outbox import Outbox
from memsys_api.store.rows import Condition

log = logging.getLogger(__name__)

Write = Callable[[Connection], Awaitable[Written]]
"""What is left to do within a transaction."""


class Memories:
    """Writes and reads memories. Holds no state but which projects it has already seen."""

    def __init__(
        self,
        database: Database,
        generation: Generation,
        embedder: Embedder,
        outbox: Outbox,
        gate: Gate,
        inferring: Inferring | None = None,
    ) -> None:
        self._database = database
        self._generation = generation
        self._embedder = embedder
        self._outbox = outbox
        self._gate = gate
        self._inferring = inferring
        self._projects: set[str] = set()

    async def add(
        self,
        scope: Scope,
        request: AddRequest,
        *,
        actor: str,
        idempotency_key: str | None = None,
        release: Release | None = None,
        accepted_at: datetime | None = None,
    ) -> list[Outcome]:
        """Remember what a request says, all of it in one transaction or none.

        With a language model, and unless the request declines, that is the facts it finds; while the model is away,
        and without one, every message as it was said. The same ``idempotency_key`` with the same request is answered
        as the first time and stores nothing; with another request it raises an ``idempotency-conflict`` problem.
        A suspect request raises what the quarantine's gate raises, unless it is the ``release`` of a held one, which is
        settled in the same transaction. One that was held and released is answered what the release stored.
        ``accepted_at`` is when another server had taken it: what was erased since raises an ``erased`` problem.
        """
        once = None if idempotency_key is None else Once(idempotency_key, _request_hash(scope, request))
        if accepted_at is not None:
            async with self._database.transaction(scope.project) as conn:
                await late.refuse(conn, scope, accepted_at)
        if once is not None:
            async with self._database.transaction(scope.project) as conn:
                if (earlier := await answered_before(conn, scope.project, once)) is not None:
                    return list(earlier)
        kept = kept_of(scope, request, actor)
        if release is None:
            texts = texts_of(words_of(request))
            answered = await self._gate.admit(kept, texts, once=once, accepted_at=accepted_at)
            if answered is not None:
                return list(answered)
        while True:
            try:
                write = await self._prepare(scope, request, actor, reviewed=release is not None)
                return await self._write(scope, write, once, accepted_at, release)
            except Overtaken:  # what the model was shown is erased, or says something else now
                continue
            except Suspect as error:
                kept = replace(kept, facts=error.facts)
                return list(await self._gate.stop(kept, error.findings, once=once, accepted_at=accepted_at))

    async def _write(
        self,
        scope: Scope,
        write: Write,
        once: Once | None,
        accepted_at: datetime | None,
        release: Release | None,
    ) -> list[Outcome]:
        """The one transaction of an add."""
        async with self._database.transaction(scope.project) as conn:
            await late.refuse(conn, scope, accepted_at)
            if once is not None and (earlier := await claim_or_answer(conn, scope.project, once)) is not None:
                return list(earlier)
            if scope.project not in self._projects:
                await versions.ensure_project(conn, scope.project)
            written = await write(conn)
            await self._outbox.enqueue(conn, scope.project, written.changed)
            if once is not None:
                await idempotency.remember(conn, scope.project, once.key, written.outcomes)
            if release is not None:
                await release.settle(conn, written.outcomes)
        self._projects.add(scope.project)
        self._outbox.wake()
        return written.outcomes

    async def _prepare(self, scope: Scope, request: AddRequest, actor: str, *, reviewed: bool) -> Write:
        """Everything of an add that needs no transaction: above all the model's answer and the embeddings."""
        turns = request.turns()
        observed_at = request.timestamp or datetime.now(UTC)
        if self._inferring is None or not request.infer:
            new = await self._verbatim(scope.project, request, turns, observed_at, {"key": actor, "verbatim": True})
            return partial(self._insert, scope=scope, new=new)
        conversation = conversation_of(request, turns, observed_at, actor, reviewed=reviewed)
        try:
            decided = await self._inferring.decide(scope, conversation)
        except InferenceError as error:
            return await self._put_off(scope, request, conversation, error)
        return partial(self._inferring.carry_out, scope=scope, decided=decided)

    async def _put_off(
        self, scope: Scope, request: AddRequest, conversation: Conversation, error: InferenceError
    ) -> Write:
        """Store as it was said what the model could not read now; the back-fill asks again, if that is of any use."""
        hopeless = isinstance(error, InferenceRejected) and error.subject == "input"
        state = "failed" if hopeless else "pending"
        said: Uninferred = "failed" if hopeless else "pending"
        if isinstance(error, OverBudget):
            said = "over-budget"
        log.warning("stored without inference", extra={"reason": str(error), "inference": said})
        turns = saying_something(request)
        provenance = {"key": conversation.actor, "verbatim": True, "inference": state}
        if hopeless:
            provenance["inference_error"] = str(error)
        new = await self._verbatim(scope.project, request, turns, conversation.observed_at, provenance)
        waiting = to_json(scope, conversation) if state == "pending" else None
        return partial(self._insert, scope=scope, new=new, inference=said, waiting=waiting)

    async def _insert(
        self,
        conn: Connection,
        *,
        scope: Scope,
        new: Sequence[NewVersion],
        inference: Uninferred | None = None,
        waiting: dict[str, Any] | None = None,
    ) -> Written:
        """Write first versions, and with ``waiting`` that they are to be inferred later."""
        if not new:
            return Written([], [])
        ids = [n.id for n in new]
        await versions.insert_first(conn, self._generation, scope, thread_of(scope, len(new)), new)
        if waiting is not None:
            await inferences.enqueue(conn, scope.project, uuid4(), facts.scope_key(scope), ids, waiting)
        return Written([Outcome(n.id, n.text, inference=inference) for n in new], [(i, 1) for i in ids])

    async def get(self, scope: Scope, memory_id: UUID, *, as_of: datetime | None = None) -> Memory:
        """One memory, now or as it was known at a moment. Raises a ``not-found`` problem."""
        memory = await reads.get(self._database, scope, memory_id, as_of)
        if memory is None:
            raise no_such_memory()
        return memory

    async def page(
        self,
        scope: Scope,
        *,
        limit: int,
        before: int | None,
        filters: Sequence[Condition] = (),
        as_of: datetime | None = None,
    ) -> tuple[list[Memory], int | None]:
        """Memories of a scope, newest first, now or as known at a moment, and the position to go on from."""
        return await reads.page(self._database, scope, limit=limit, before=before, filters=filters, as_of=as_of)

    async def history(
        self, scope: Scope, memory_id: UUID, *, after: int = 0, limit: int | None = None
    ) -> list[reads.HistoryEntry]:
        """Every change of a memory after a version, oldest first, at most so many. Raises a ``not-found`` problem."""
        entries = await reads.history(self._database, scope, memory_id, after=after, limit=limit)
        if not entries and not (after and await reads.history(self._database, scope, memory_id, limit=1)):
            raise no_such_memory()
        return entries

    async def _verbatim(
        self,
        project: str,
        request: AddRequest,
        turns: Sequence[Message],
        event_time: datetime,
        provenance: dict[str, Any],
    ) -> list[NewVersion]:
        """One first version for each message, as it was said."""
        drafts = drafts_of(request, turns, event_time, provenance)
        return await finished(self._embedder, drafts, mark=await self._gate.marks(project))


def saying_something(request: AddRequest) -> list[Message]:
    """The messages that are worth keeping until the language model has read them: all but small talk."""
    return [
        turn
        for place, turn in enumerate(request.turns())
        if not holds_no_fact([inference.Message(turn.role, turn.content)], answers_something=place > 0)
    ]


def drafts_of(
    request: AddRequest, turns: Sequence[Message], event_time: datetime, provenance: dict[str, Any]
) -> list[Draft]:
    """One memory for each message, as it was said."""
    expires_at = request.expiry()
    return [
        Draft(
            text=turn.content,
            event_time=event_time,
            role=turn.role,
            speaker=_speaker(turn),
            metadata=_metadata(request, turn),
            provenance=provenance,
            expires_at=expires_at,
        )
        for turn in turns
    ]


def conversation_of(
    request: AddRequest, turns: Sequence[Message], observed_at: datetime, actor: str, *, reviewed: bool = False
) -> Conversation:
    """What the language model is asked about."""
    return Conversation(
        turns=[inference.Message(turn.role, turn.content, _speaker(turn)) for turn in turns],
        observed_at=observed_at,
        actor=actor,
        metadata=request.metadata,
        expires_at=request.expiry(),
        instructions=request.prompt,
        includes=request.includes,
        excludes=request.excludes,
        reviewed=reviewed,
    )


def _speaker(turn: Message) -> str | None:
    return turn.name or extraction.spoken(turn.content)[0]


def _metadata(request: AddRequest, turn: Message) -> dict[str, Any]:
    """A memory's metadata: the request's, and what mem0 notes of a verbatim message."""
    noted = {"role": turn.role} | ({"actor_id": turn.name} if turn.name else {})
    return noted | request.metadata if isinstance(request.messages, list) else dict(request.metadata)


def kept_of(scope: Scope, request: AddRequest, actor: str) -> Kept:
    """A request as it is kept for review: said when it was said, however much later it is released."""
    said_at = request.timestamp or datetime.now(UTC)
    body = request.lasting(exclude={"wait"})
    return Kept(kind="add", scope=scope, request=body | {"timestamp": said_at.isoformat()}, actor=actor)


def words_of(request: AddRequest) -> dict[str, Any]:
    """What of a request is kept, or goes to the language model: the ids of its scope are neither."""
    said = request.model_dump(mode="json", exclude_none=True)
    return {
        name: said[name] for name in ("messages", "text", "metadata", "prompt", "includes", "excludes") if name in said
    }


def request_content(scope: Scope, request: AddRequest) -> list[Any]:
    """All by which an add is told from another under the same Idempotency-Key."""
    return [
        scope.project,
        scope.user_id,
        scope.agent_id,
        scope.app_id,
        scope.run_id,
        request.model_dump(mode="json", exclude={"wait"}),
    ]


def _request_hash(scope: Scope, request: AddRequest) -> str:
    return idempotency.hash_of(request_content(scope, request))
