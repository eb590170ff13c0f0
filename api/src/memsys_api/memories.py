"""The flows of a memory: in, changed, out of sight. One transaction per acknowledged write; sinks follow after."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID, uuid4

import orjson

from memsys_api import extraction, retrieval
from memsys_api.model import Extraction, Memory, Scope
from memsys_api.ports import Embedder
from memsys_api.problems import CONFLICT, IDEMPOTENCY_CONFLICT, NOT_FOUND, FieldError, ProblemError, invalid
from memsys_api.schemas import AddRequest, Message, UpdateRequest
from memsys_api.store import deliveries, idempotency, reads, versions
from memsys_api.store.contents import NewVersion
from memsys_api.store.database import Database
from memsys_api.store.generations import Generation


@dataclass(frozen=True)
class Outcome:
    """What became of one text of an add."""

    id: UUID
    text: str
    event: Literal["ADD", "NONE"] = "ADD"
    version: int = 1


class Memories:
    """Writes and reads memories. Holds no state but which projects it has already seen."""

    def __init__(
        self,
        database: Database,
        generation: Generation,
        embedder: Embedder,
        sinks: Sequence[str],
        wake: Callable[[], None],
    ) -> None:
        self._database = database
        self._generation = generation
        self._embedder = embedder
        self._sinks = tuple(sinks)
        self._wake = wake
        self._projects: set[str] = set()

    async def add(
        self, scope: Scope, request: AddRequest, *, actor: str, idempotency_key: str | None = None
    ) -> list[Outcome]:
        """Store every message verbatim, all in one transaction or none.

        The same ``idempotency_key`` with the same request is answered as the first time and stores nothing;
        with another request it raises an ``idempotency-conflict`` problem.
        """
        request_hash = _request_hash(scope, request)
        if idempotency_key is not None:
            async with self._database.transaction(scope.project) as conn:
                earlier = await idempotency.recall(conn, scope.project, idempotency_key)
            if earlier is not None:
                return _replay(earlier, request_hash)
        new = await self._first_versions(request, actor)
        async with self._database.transaction(scope.project) as conn:
            if idempotency_key is not None and not await idempotency.remember(
                conn, scope.project, idempotency_key, request_hash, [n.id for n in new]
            ):
                earlier = await idempotency.recall(conn, scope.project, idempotency_key)
                assert earlier is not None  # it was in the way just now
                return _replay(earlier, request_hash)
            if scope.project not in self._projects:
                await versions.ensure_project(conn, scope.project)
            if new:
                await versions.insert_first(conn, self._generation, scope, _thread(scope, len(new)), new)
                await deliveries.enqueue(conn, scope.project, self._sinks, [(n.id, 1) for n in new])
        self._projects.add(scope.project)
        self._wake()
        return [Outcome(n.id, n.text) for n in new]

    async def get(self, scope: Scope, memory_id: UUID) -> Memory:
        """One memory. Raises a ``not-found`` problem."""
        memory = await reads.get(self._database, scope, memory_id)
        if memory is None:
            raise _not_found()
        return memory

    async def page(self, scope: Scope, *, limit: int, before: int | None) -> tuple[list[Memory], int | None]:
        """Memories of a scope, newest first, and the position to go on from."""
        return await reads.page(self._database, scope, limit=limit, before=before)

    async def history(self, scope: Scope, memory_id: UUID) -> list[reads.HistoryEntry]:
        """Every change of a memory, oldest first. Raises a ``not-found`` problem."""
        entries = await reads.history(self._database, scope, memory_id)
        if not entries:
            raise _not_found()
        return entries

    async def update(self, scope: Scope, memory_id: UUID, request: UpdateRequest, *, actor: str) -> Memory:
        """Write a memory's next version.

        Raises ``not-found``, and ``version-conflict`` if the request names another version than the current one.
        """
        while True:  # another round means that somebody else's change got in first
            async with self._database.transaction(scope.project) as conn:
                seen = await versions.head(conn, scope, memory_id)
            if seen is None:
                raise _not_found()
            if request.version not in (None, seen.memory.version):
                raise _conflict(seen.memory.version)
            new = await self._successor(seen, request, actor)
            async with self._database.transaction(scope.project) as conn:
                head = await versions.head(conn, scope, memory_id, lock=True)
                if head is None:
                    raise _not_found()
                if head.memory.version != seen.memory.version:
                    continue
                memory = await versions.insert_next(conn, self._generation, head, new)
                await deliveries.enqueue(conn, scope.project, self._sinks, [(memory.id, memory.version)])
            self._wake()
            return memory

    async def delete(self, scope: Scope, memory_id: UUID, *, actor: str) -> None:
        """Bury one memory; its versions stay for as-of reads. Raises a ``not-found`` problem."""
        if not await self._bury(scope, memory_id, actor):
            raise _not_found()

    async def delete_all(self, scope: Scope, *, actor: str) -> int:
        """Bury every memory of a scope that names at least one id; says how many."""
        if not any((scope.user_id, scope.agent_id, scope.app_id, scope.run_id)):
            raise invalid("user_id", "give at least one of user_id, agent_id, app_id and run_id")
        return await self._bury(scope, None, actor)

    async def _first_versions(self, request: AddRequest, actor: str) -> list[NewVersion]:
        """What an add will store. Reading and embedding happen here, before any transaction."""
        turns = request.turns()
        if not turns:
            return []
        event_time = request.timestamp or datetime.now(UTC)
        speakers = [turn.name or extraction.spoken(turn.content)[0] for turn in turns]
        texts = [turn.content for turn in turns]
        extracted = await asyncio.to_thread(_extract, texts, speakers, event_time)
        embeddings = await self._embedder.embed(list(map(_passage, texts, speakers)))
        return [
            NewVersion(
                id=uuid4(),
                text=turn.content,
                hash=text_hash(turn.content),
                event_time=event_time,
                embedding=embedding,
                extraction=found,
                role=turn.role,
                speaker=speaker,
                metadata=_metadata(request, turn),
                provenance={"key": actor, "verbatim": True},
                expires_at=request.expires_at,
            )
            for turn, speaker, found, embedding in zip(turns, speakers, extracted, embeddings, strict=True)
        ]

    async def _successor(self, seen: versions.Head, request: UpdateRequest, actor: str) -> NewVersion:
        """The version that follows a head. Embedding happens here, before any lock is held."""
        old = seen.memory
        text = request.text or request.data or old.text
        embeddings = await self._embedder.embed([_passage(text, seen.speaker)])
        return NewVersion(
            id=old.id,
            text=text,
            hash=text_hash(text),
            event_time=old.event_time,
            embedding=embeddings[0],
            extraction=extraction.extract(text, speaker=seen.speaker, event_time=old.event_time),
            metadata=dict(old.metadata) if request.metadata is None else request.metadata,
            provenance={"key": actor, "verbatim": True},
            expires_at=old.expires_at,
        )

    async def _bury(self, scope: Scope, memory_id: UUID | None, actor: str) -> int:
        async with self._database.transaction(scope.project) as conn:
            buried = await versions.bury(conn, self._generation, scope, memory_id, {"key": actor})
            await deliveries.enqueue(conn, scope.project, self._sinks, buried)
        self._wake()
        return len(buried)


def text_hash(text: str) -> str:
    """What a memory's text is compared by: SHA-256, hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def _extract(texts: list[str], speakers: list[str | None], event_time: datetime) -> list[Extraction]:
    return [
        extraction.extract(text, speaker=speaker, event_time=event_time)
        for text, speaker in zip(texts, speakers, strict=True)
    ]


def _passage(text: str, speaker: str | None) -> str:
    return retrieval.embedding_text(text, speaker=speaker)


def _thread(scope: Scope, messages: int) -> str | None:
    """What ties messages together as turns: their run within its whole scope, else the one request."""
    if scope.run_id is not None:
        return orjson.dumps([scope.user_id, scope.agent_id, scope.app_id, scope.run_id]).decode()
    return f"request:{uuid4()}" if messages > 1 else None


def _metadata(request: AddRequest, turn: Message) -> dict[str, Any]:
    """A memory's metadata: the request's, and what mem0 notes of a verbatim message."""
    noted = {"role": turn.role} | ({"actor_id": turn.name} if turn.name else {})
    return noted | request.metadata if isinstance(request.messages, list) else dict(request.metadata)


def _request_hash(scope: Scope, request: AddRequest) -> str:
    content = [
        scope.project,
        scope.user_id,
        scope.agent_id,
        scope.app_id,
        scope.run_id,
        request.model_dump(mode="json"),
    ]
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _replay(earlier: idempotency.Remembered, request_hash: str) -> list[Outcome]:
    if earlier.request_hash != request_hash:
        raise ProblemError(
            IDEMPOTENCY_CONFLICT,
            "Idempotency-Key: was used before for another request; use a new key",
            errors=[FieldError("Idempotency-Key", "was used before for another request")],
        )
    return [Outcome(memory_id, text) for memory_id, text in earlier.results]


def _not_found() -> ProblemError:
    return ProblemError(NOT_FOUND, "there is no such memory")


def _conflict(version: int) -> ProblemError:
    return ProblemError(
        CONFLICT,
        f"version: the memory is at version {version}; read it again",
        errors=[FieldError("version", f"is not the current one, {version}")],
    )
