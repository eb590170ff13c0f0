"""The flows that change and delete memories: one or many, in one transaction or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, Literal, NamedTuple
from uuid import UUID

from memsys_api.flows.drafts import Draft, finished
from memsys_api.model import Extraction, Memory, Outcome, Scope
from memsys_api.ports import Embedder
from memsys_api.problems import CONFLICT, NOT_FOUND, FieldError, ProblemError, invalid, no_such_memory
from memsys_api.quarantine.detect import Finding, texts_of
from memsys_api.quarantine.gate import Gate, answered_before, refused
from memsys_api.schemas import UpdateRequest
from memsys_api.store import idempotency, inferences, versions
from memsys_api.store.contents import NewVersion, extractions, insert_entities
from memsys_api.store.database import Connection, Database
from memsys_api.store.generations import Generation
from memsys_api.store.held import Held, Kept, Release
from memsys_api.store.idempotency import Once
from memsys_api.store.outbox import Outbox

DELETED = 1_000
"""How many memories one transaction deletes of a scope."""


class Change(NamedTuple):
    """What is to become of one memory."""

    memory_id: UUID
    request: UpdateRequest


class Changed(NamedTuple):
    """What became of many changes."""

    memories: list[Memory]
    held: list[Held]
    """What waits for review instead."""


class Changing:
    """Writes next versions and tombstones."""

    def __init__(
        self,
        database: Database,
        generation: Generation,
        embedder: Embedder,
        outbox: Outbox,
        gate: Gate,
    ) -> None:
        self._database = database
        self._generation = generation
        self._embedder = embedder
        self._outbox = outbox
        self._gate = gate

    async def update(
        self,
        scope: Scope,
        memory_id: UUID,
        request: UpdateRequest,
        *,
        actor: str,
        idempotency_key: str | None = None,
        release: Release | None = None,
    ) -> Memory:
        """Write a memory's next version.

        Raises ``not-found``, and ``version-conflict`` if the request names another version than the current one.
        The same ``idempotency_key`` with the same request is answered as the first time, whatever became of the memory
        since, and writes nothing; with another request it raises an ``idempotency-conflict`` problem.
        A suspect request raises what the quarantine's gate raises, unless it is the ``release`` of a held one, which is
        settled in the same transaction. One that was held and released is answered what the release wrote.
        """
        change = Change(memory_id, request)
        once = None if idempotency_key is None else Once(idempotency_key, _request_hash(scope, change))
        try:
            if once is not None:
                async with self._database.transaction(scope.project) as conn:
                    if (earlier := await _answered(conn, scope, once)) is not None:
                        return earlier
            said = _said(request) if release is None else {}
            if said and (standing := await self._standing(scope, memory_id)):
                answered = await self._gate.admit(_kept(standing, change, actor), texts_of(said), once=once)
                if answered is not None:
                    async with self._database.transaction(scope.project) as conn:
                        return await _told(conn, scope, answered)
            return (await self._update(scope, [change], actor, once=once, release=release)).memories[0]
        except _Missing as error:
            raise no_such_memory() from error

    async def update_all(self, scope: Scope, changes: Sequence[Change], *, actor: str) -> Changed:
        """Write the next versions of all these memories, in their order, or of none.

        Where the project's policy holds what is suspect, such a change waits for review, in the same transaction.

        Raises ``not-found`` with the place of each memory that is not there, ``invalid-request`` for one that is named
        twice, and ``quarantined`` where the policy refuses one of the changes: then too nothing is done.
        """
        _once([change.memory_id for change in changes])
        texts = [texts_of(_said(change.request), f"memories.{place}") for place, change in enumerate(changes)]
        found = await self._gate.stopped_of_each(scope.project, texts)
        suspect = {change.memory_id: findings for change, findings in zip(changes, found, strict=True) if findings}
        if suspect and await self._gate.mode(scope.project) != "hold":
            raise refused([finding for findings in suspect.values() for finding in findings])
        try:
            return await self._update(scope, changes, actor, suspect)
        except _Missing as error:
            raise _none_of([change.memory_id for change in changes], error.ids) from error

    async def delete(self, scope: Scope, memory_id: UUID, *, actor: str) -> None:
        """Bury one memory; its versions stay for as-of reads. Raises a ``not-found`` problem."""
        try:
            await self._bury_each(scope, [memory_id], actor)
        except _Missing as error:
            raise no_such_memory() from error

    async def delete_each(self, scope: Scope, ids: Sequence[UUID], *, actor: str) -> int:
        """Bury all these memories or none; says how many. Raises as :meth:`update_all`."""
        _once(ids)
        try:
            return await self._bury_each(scope, ids, actor)
        except _Missing as error:
            raise _none_of(ids, error.ids) from error

    async def delete_all(self, scope: Scope, *, actor: str) -> int:
        """Bury every memory of a scope, as of now; says how many.

        A batch at a time, each in a transaction of its own: a large scope takes longer than a statement may. Broken off
        in between, it has deleted the oldest, and the same again goes on from there.
        """
        async with self._database.transaction(scope.project) as conn:
            upto = await versions.newest(conn, scope)
        deleted = place = 0
        while True:
            async with self._database.transaction(scope.project) as conn:
                batch = await versions.unburied(conn, scope, place, upto, DELETED)
                if not batch:
                    return deleted
                ids, place = [memory_id for memory_id, _ in batch], batch[-1][1]
                deleted += len(await self._bury(conn, scope, ids, actor, which="both"))
            self._outbox.wake()

    async def _standing(self, scope: Scope, memory_id: UUID) -> Scope | None:
        """Whose memory is to be changed; ``None``: nothing is held for a memory beyond the scope."""
        async with self._database.transaction(scope.project) as conn:
            head = await versions.head(conn, scope, memory_id)
        return None if head is None else head.memory.scope

    async def _update(
        self,
        scope: Scope,
        changes: Sequence[Change],
        actor: str,
        suspect: Mapping[UUID, Sequence[Finding]] = MappingProxyType({}),
        once: Once | None = None,
        release: Release | None = None,
    ) -> Changed:
        """``once`` and ``release`` are for a single change: of a request with an Idempotency-Key, and of a held one."""
        ids = [change.memory_id for change in changes]
        while True:  # another round means that somebody else's change got in first
            async with self._database.transaction(scope.project) as conn:
                if once is not None and (earlier := await _answered(conn, scope, once)) is not None:
                    return Changed([earlier], [])
                seen = await versions.heads(conn, scope, ids)
                found = await extractions(conn, scope.project, [(i, head.memory.version) for i, head in seen.items()])
            _all_there(ids, seen)
            for memory_id, request in changes:
                if request.version not in (None, version := seen[memory_id].memory.version):
                    raise _conflict(version)
            clean = [change for change in changes if change.memory_id not in suspect]
            new = await self._successors(scope.project, seen, found, clean, actor)
            async with self._database.transaction(scope.project) as conn:
                await versions.lock(conn, scope, ids)
                heads = await versions.heads(conn, scope, ids)
                _all_there(ids, heads)
                if heads != seen:
                    continue
                if once is not None and not await idempotency.claim(conn, scope.project, once):
                    continue
                await insert_entities(conn, scope.project, new)
                written = [await versions.insert_next(conn, self._generation, heads[n.id], n) for n in new]
                await inferences.settle(conn, scope.project, [m.id for m in written])
                await self._outbox.enqueue(conn, scope.project, [(m.id, m.version) for m in written])
                outcomes = [Outcome(m.id, m.text, "UPDATE", m.version) for m in written]
                if once is not None:
                    await idempotency.remember(conn, scope.project, once.key, outcomes)
                held = [
                    await self._gate.hold(conn, _kept(heads[change.memory_id].memory.scope, change, actor), findings)
                    for change in changes
                    if (findings := suspect.get(change.memory_id))
                ]
                if release is not None:
                    await release.settle(conn, outcomes)
            self._outbox.wake()
            return Changed(written, held)

    async def _successors(
        self,
        project: str,
        seen: Mapping[UUID, versions.Head],
        found: Mapping[tuple[UUID, int], Extraction],
        changes: Sequence[Change],
        actor: str,
    ) -> list[NewVersion]:
        """The versions that follow these heads. Embedding happens here, before any lock is held."""
        drafts = []
        mark = await self._gate.marks(project)
        for memory_id, request in changes:
            old = seen[memory_id].memory
            draft = Draft(
                id=old.id,
                text=request.text or request.data or old.text,
                event_time=request.timestamp or old.event_time,
                role=seen[memory_id].role,
                speaker=seen[memory_id].speaker,
                metadata=old.metadata if request.metadata is None else request.metadata,
                provenance={"key": actor, "verbatim": True},
                expires_at=request.expiry() if request.sets_expiry else old.expires_at,
            )
            if draft.text == old.text:
                draft = replace(
                    draft,
                    provenance=_kept_provenance(seen[memory_id].provenance, mark) | {"key": actor},
                    extraction=_moved(found[memory_id, old.version], old.event_time, draft.event_time),
                    extracted=True,
                )
            drafts.append(draft)
        return await finished(self._embedder, drafts, mark=mark)

    async def _bury(
        self,
        conn: Connection,
        scope: Scope,
        ids: Sequence[UUID],
        actor: str,
        *,
        which: Literal["current", "both"] = "current",
    ) -> list[tuple[UUID, int]]:
        buried = await versions.bury(conn, self._generation, scope, ids, {"key": actor}, which=which)
        await inferences.settle(conn, scope.project, [memory_id for memory_id, _ in buried])
        await self._outbox.enqueue(conn, scope.project, buried)
        return buried

    async def _bury_each(self, scope: Scope, ids: Sequence[UUID], actor: str) -> int:
        async with self._database.transaction(scope.project) as conn:
            buried = await self._bury(conn, scope, ids, actor)
            _all_there(ids, {memory_id for memory_id, _ in buried})
        self._outbox.wake()
        return len(buried)


def _kept_provenance(provenance: Mapping[str, Any], mark: bool) -> dict[str, Any]:
    """Where a text came from, as long as it stays.

    What its owner has changed waits for no language model any more; with ``mark`` it is looked at anew.
    """
    kept = {name: said for name, said in provenance.items() if (name, said) != ("inference", "pending")}
    if mark:
        kept.pop("quarantine", None)
    return kept


def _moved(extraction: Extraction, before: datetime, after: datetime) -> Extraction:
    """With the relations that hold from the event on holding from its new time on."""
    return replace(
        extraction,
        relations=tuple(
            replace(relation, valid_from=after) if relation.valid_from == before else relation
            for relation in extraction.relations
        ),
    )


class _Missing(Exception):
    """Some of the memories are not there."""

    def __init__(self, ids: set[UUID]) -> None:
        super().__init__(ids)
        self.ids = ids


def _all_there(ids: Sequence[UUID], found: dict[UUID, versions.Head] | set[UUID]) -> None:
    if missing := {memory_id for memory_id in ids if memory_id not in found}:
        raise _Missing(missing)


def _request_hash(scope: Scope, change: Change) -> str:
    """Of all by which an update is told from another request under the same Idempotency-Key."""
    ids = [scope.project, scope.user_id, scope.agent_id, scope.app_id, scope.run_id, str(change.memory_id)]
    content = ["update", *ids, change.request.model_dump(mode="json", exclude_unset=True)]
    return idempotency.hash_of(content)


async def _answered(conn: Connection, scope: Scope, once: Once) -> Memory | None:
    """The memory by which the same request was :func:`answered_before`; ``None``: it is the first."""
    earlier = await answered_before(conn, scope.project, once)
    return None if earlier is None else await _told(conn, scope, earlier)


async def _told(conn: Connection, scope: Scope, outcomes: Sequence[Outcome]) -> Memory:
    """The version that an update was answered with."""
    for outcome in outcomes:
        if (memory := await versions.at(conn, scope, outcome.id, outcome.version)) is not None:
            return memory
    raise no_such_memory()  # erased, or forgotten with age


def _kept(standing: Scope, change: Change, actor: str) -> Kept:
    """A change as it is kept for review, with the memory's own scope."""
    body = change.request.lasting()
    return Kept(kind="update", scope=standing, request=body, actor=actor, memory_id=change.memory_id)


def _said(request: UpdateRequest) -> dict[str, Any]:
    return request.model_dump(mode="json", exclude_none=True, include={"text", "data", "metadata"})


def _once(ids: Sequence[UUID]) -> None:
    first: dict[UUID, int] = {}
    for place, memory_id in enumerate(ids):
        if (earlier := first.setdefault(memory_id, place)) != place:
            raise invalid(f"memories.{place}.memory_id", f"is also memories.{earlier}; name each memory once")


def _none_of(ids: Sequence[UUID], missing: set[UUID]) -> ProblemError:
    errors = [
        FieldError(f"memories.{place}.memory_id", "is not a memory")
        for place, memory_id in enumerate(ids)
        if memory_id in missing
    ]
    fields = ", ".join(error.field for error in errors[:5])
    return ProblemError(NOT_FOUND, f"{fields}: there is no such memory; nothing was changed", errors=errors)


def _conflict(version: int) -> ProblemError:
    return ProblemError(
        CONFLICT,
        f"version: the memory is at version {version}; read it again",
        errors=[FieldError("version", f"is not the current one, {version}")],
    )
