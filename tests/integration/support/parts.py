"""Small real implementations of the API's ports, for tests that are not about models or Neo4j."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable, Sequence
from uuid import UUID

import numpy as np

from memsys_api.model import Scope, SinkRecord
from memsys_api.ports import SinkUnavailable, Vectors
from memsys_api.sinks.graph.content import content_hash


class WordEmbedder:
    """Every word has a fixed random direction, a text is their sum: texts that share words are near each other."""

    provider = "test"
    model = "words"

    def __init__(self, dimensions: int = 64) -> None:
        self.dimensions = dimensions
        self.calls = 0
        self.fault: Exception | None = None

    async def embed(self, texts: Sequence[str]) -> Vectors:
        self.calls += 1
        if self.fault:
            raise self.fault
        vectors = np.zeros((len(texts), self.dimensions), np.float32)
        for row, text in zip(vectors, texts, strict=True):
            for word in re.findall(r"\w+", text.lower()):
                seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:4])
                row += np.random.default_rng(seed).standard_normal(self.dimensions)
            row /= np.linalg.norm(row) or 1
        return vectors

    def forget(self) -> None:
        pass

    async def close(self) -> None:
        pass


class MemorySink:
    """A graph in a dictionary that keeps the sinks' promises, and fails when told to."""

    name = "graph"

    def __init__(self) -> None:
        self.held: dict[tuple[str, UUID], SinkRecord] = {}
        self.applied: list[tuple[UUID, int]] = []
        self.batches: list[int] = []
        self.away = False
        self.hold: asyncio.Event | None = None
        self.poison: Callable[[SinkRecord], str | None] = lambda record: None
        self.breaks_on: Callable[[SinkRecord], bool] = lambda record: False
        self.answers: list[tuple[UUID, float]] = []
        self.slow = 0.0
        self.stray = 0
        self.doubted: set[str] = set()

    async def prepare(self) -> None:
        self._present()

    async def apply(self, records: Sequence[SinkRecord]) -> dict[UUID, str]:
        self._present()
        self.batches.append(len(records))
        if any(self.breaks_on(record) for record in records):
            raise ValueError("cannot take this batch")
        if self.hold:
            await self.hold.wait()
        errors = {}
        for record in records:
            if error := self.poison(record):
                errors[record.id] = error
                continue
            held = self.held.get((record.project, record.id))
            if held is None or held.version <= record.version:
                self.held[record.project, record.id] = record
                self.applied.append((record.id, record.version))
        return errors

    async def holding(self, project: str, ids: Sequence[UUID]) -> int:
        self._present()
        return len({memory_id for memory_id in ids if (held := self.held.get((project, memory_id))) and held.memory})

    async def available(self) -> bool:
        return not self.away

    async def close(self) -> None:
        pass

    async def neighbours(self, scope: Scope, entity_keys: Sequence[str], limit: int) -> list[tuple[UUID, float]]:
        self._present()
        await asyncio.sleep(self.slow)
        return self.answers[:limit]

    async def read(self, project: str, after: UUID | None, limit: int) -> list[tuple[UUID, int, str]]:
        self._present()
        live = sorted(
            (record.id, record.version, content_hash(record))
            for (at, _), record in self.held.items()
            if at == project and record.memory is not None and (after is None or record.id > after)
        )
        return live[:limit]

    async def versions(self, project: str, ids: Sequence[UUID]) -> dict[UUID, int]:
        self._present()
        return {i: self.held[project, i].version for i in ids if (project, i) in self.held}

    async def forget(self, project: str, ids: Sequence[UUID]) -> None:
        self._present()
        for memory_id in ids:
            self.held.pop((project, memory_id), None)

    async def doubt_names(self, project: str, keys: Sequence[str]) -> None:
        self._present()
        self.doubted.update(keys)

    async def projects(self) -> list[str]:
        self._present()
        return sorted({project for project, _ in self.held})

    async def strays(self, project: str) -> int:
        self._present()
        return self.stray

    async def sweep(self, project: str) -> int:
        self._present()
        swept, self.stray = self.stray, 0
        return swept

    def live(self) -> set[UUID]:
        """The memories that it holds."""
        return {memory_id for (_, memory_id), record in self.held.items() if record.memory is not None}

    def _present(self) -> None:
        if self.away:
            raise SinkUnavailable("connection refused")
