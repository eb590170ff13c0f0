"""The sink of an external vector index: makes it equal to what PostgreSQL holds of the memories it is told of."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar
from uuid import UUID

from memsys_api.causes import cause
from memsys_api.model import Embedded, Scope, SinkRecord
from memsys_api.ports import VECTORS, SinkRefused, SinkUnavailable, Vectors
from memsys_api.sinks.vectors.errors import is_away
from memsys_api.sinks.vectors.points import point, point_id, scope_of
from memsys_api.sinks.vectors.store import Connection, VectorStore

T = TypeVar("T")

WRITERS = 4
READERS = 8
PREPARE_CALLS = 8
"""How many calls making a collection takes at most, for its time limit."""


class Truth(Protocol):
    """Reads embeddings where they are kept."""

    async def __call__(self, project: str, ids: Sequence[UUID]) -> dict[UUID, Embedded]:
        """The newest versions of those of these memories that are alive, with their embeddings."""
        ...


class ExternalVectors:
    """The port :class:`memsys_api.ports.VectorSink` on a store of mem0's. Making it opens no connection.

    A record only says which memory has changed. What is written is what PostgreSQL holds at that moment: an older
    version, or an add after its deletion, is never written because it arrives late. What such a write in flight
    could still do, while its lease ends unnoticed, PostgreSQL's own look at every candidate undoes.

    The clients block: they run in threads of their own, few for writing and few for searching, so that a store which
    swallows writes does not hold up searches.
    """

    name = VECTORS

    def __init__(
        self, connection: Connection, store: VectorStore, truth: Truth, emptied: Callable[[str], Awaitable[None]]
    ) -> None:
        self._connection = connection
        self._store = store
        self._truth = truth
        self._emptied = emptied
        self._writers = ThreadPoolExecutor(WRITERS, thread_name_prefix="vectors-write")
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="vectors-read")

    @property
    def target(self) -> str:
        """What is fed, to be filled anew when it is another."""
        return self._connection.target

    async def prepare(self) -> None:
        """Make the collection and its indexes, or check the one that is there; a new one is to be filled."""
        if await self._call(self._writers, PREPARE_CALLS * self._connection.write_seconds, self._store.prepare):
            await self._emptied(self.target)

    async def present(self) -> bool:
        """Whether there is a collection. Raises :class:`SinkUnavailable`."""
        return await self._call(self._readers, self._connection.write_seconds, self._store.present)

    async def apply(self, records: Sequence[SinkRecord]) -> dict[UUID, str]:
        """See the port."""
        projects: dict[str, list[UUID]] = {}
        for record in records:
            projects.setdefault(record.project, []).append(record.id)
        present: list[Embedded] = []
        gone: list[str] = []
        for project, ids in projects.items():
            alive = await self._truth(project, ids)
            present += alive.values()
            gone += [point_id(project, memory_id) for memory_id in ids if memory_id not in alive]
        seconds = self._connection.write_seconds
        if gone:
            await self._call(self._writers, seconds, self._store.remove, gone)
        if not present:
            return {}
        points = [point(embedded) for embedded in present]
        refused = await self._call(self._writers, seconds, self._store.write, points)
        return {one.id: refused[entry.id] for one, entry in zip(present, points, strict=True) if entry.id in refused}

    async def nearest(self, scope: Scope, vector: Vectors, limit: int) -> list[UUID]:
        """See the port."""
        seconds = self._connection.search_seconds
        return await self._call(self._readers, seconds, self._store.nearest, vector.tolist(), scope_of(scope), limit)

    async def count(self) -> int:
        """About how many memories the index holds. Raises :class:`SinkUnavailable`."""
        return await self._call(self._readers, self._connection.write_seconds, self._store.count)

    async def holding(self, project: str, ids: Sequence[UUID]) -> int:
        """See the port."""
        points = [point_id(project, memory_id) for memory_id in ids]
        return await self._call(self._readers, self._connection.write_seconds, self._store.holding, points)

    async def available(self) -> bool:
        try:
            return await self.present()
        except SinkUnavailable:
            return False

    async def close(self) -> None:
        for threads in (self._writers, self._readers):
            threads.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self._store.close)

    async def _call(self, threads: ThreadPoolExecutor, seconds: float, call: Callable[..., T], *arguments: object) -> T:
        who = f"{self._connection.store} at {self._connection.url or 'its default address'}"
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.get_running_loop().run_in_executor(threads, call, *arguments)
        except SinkUnavailable:
            raise
        except TimeoutError as error:
            raise SinkUnavailable(f"{who} did not answer within {seconds:g} s") from error
        except Exception as error:  # the clients raise whatever they like
            text = cause(error)
            if is_away(error):
                raise SinkUnavailable(f"{who} is away: {text}") from error
            raise VectorStoreError(f"{who} refused: {text}") from error


class VectorStoreError(SinkRefused):
    """The store refused what it was sent."""
