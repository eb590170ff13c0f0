"""Where PostgreSQL and the graph differ, found by walking both in the order of ids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple
from uuid import UUID

from memsys_api.ports import GraphSink
from memsys_api.sinks.graph.content import content_hash
from memsys_api.store import deliveries, records
from memsys_api.store.database import Database

Kind = Literal["missing", "stale", "unexpected"]

_PAGE = 500
_SAMPLES = 100


class State(NamedTuple):
    """What is compared of a memory."""

    version: int
    content_hash: str


class Difference(NamedTuple):
    """One memory that differs: absent from the graph, other than it should be, or in the graph alone."""

    project: str
    memory_id: UUID
    kind: Kind


@dataclass
class Drift:
    """What a comparison found; of the differences themselves up to a hundred."""

    checked: int = 0
    missing: int = 0
    stale: int = 0
    unexpected: int = 0
    complete: bool = True
    samples: list[Difference] = field(default_factory=list)

    def compare(
        self, project: str, truth: Mapping[UUID, State], projection: Mapping[UUID, State], queued: set[UUID]
    ) -> None:
        """Count the differences between two pages of the same range; what is queued is known to be behind."""
        for memory_id in sorted((truth.keys() | projection.keys()) - queued):
            self.checked += 1
            wanted, present = truth.get(memory_id), projection.get(memory_id)
            if wanted == present:
                continue
            kind: Kind = "missing" if present is None else "unexpected" if wanted is None else "stale"
            self.missing += kind == "missing"
            self.unexpected += kind == "unexpected"
            self.stale += kind == "stale"
            if len(self.samples) < _SAMPLES:
                self.samples.append(Difference(project, memory_id, kind))


async def compare(database: Database, graph: GraphSink, projects: list[str], limit: int) -> Drift:
    """Compare whole projects, up to about ``limit`` memories. Raises :class:`SinkUnavailable`."""
    drift = Drift()
    for project in projects:
        after: UUID | None = None
        while True:
            if drift.checked >= limit:
                drift.complete = False
                return drift
            after = await _compare_page(database, graph, project, after, drift)
            if after is None:
                break
    return drift


async def _compare_page(
    database: Database, graph: GraphSink, project: str, after: UUID | None, drift: Drift
) -> UUID | None:
    """Compare the next range of ids; returns where it ended, ``None`` at the end of both."""
    present = await graph.read(project, after, _PAGE)
    ids = await records.ids_after(database, project, after, _PAGE)
    # A full page may go on behind its last id: compare no further than both are known.
    ends = [page[-1] for page in (ids, [row[0] for row in present]) if len(page) == _PAGE]
    end = min(ends) if ends else None
    wanted = [i for i in ids if end is None or i <= end]
    projection = {i: State(version, digest) for i, version, digest in present if end is None or i <= end}
    found = await records.newest(database, project, wanted)
    truth = {
        i: State(r.version, content_hash(r.memory.text, r.extraction)) for i, r in found.items() if r.memory is not None
    }
    queued = await deliveries.queued(database, graph.name, project, list(truth.keys() | projection.keys()))
    drift.compare(project, truth, projection, queued)
    return end


async def version_in(graph: GraphSink, project: str, memory_id: UUID) -> int | None:
    """Which version of a memory the graph really holds. Raises :class:`SinkUnavailable`."""
    before = UUID(int=memory_id.int - 1) if memory_id.int else None
    found = await graph.read(project, before, 1)
    return found[0][1] if found and found[0][0] == memory_id else None
