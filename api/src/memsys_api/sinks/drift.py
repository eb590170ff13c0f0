"""Where PostgreSQL and the graph differ, found by walking both in the order of ids, some ranges at a time.

A range is a run of ids of one project. Its real contents are hashed in both stores, and only where the two hashes
differ is it opened: compared memory by memory, deliveries under way aside.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from memsys_api.model import DriftKind
from memsys_api.ports import GraphSink
from memsys_api.sinks.graph.content import content_hash
from memsys_api.store import deliveries, records
from memsys_api.store.database import Database

RANGE = 500
"""Memories of a range, at most, in either store."""
_SECONDS = 30.0  # one call begins no further range after this
_SAMPLES = 100


class State(NamedTuple):
    """What is compared of a memory."""

    version: int
    content_hash: str


class Difference(NamedTuple):
    """What differs: one memory, or (``stray``, without an id) what no memory of the project supports."""

    project: str
    memory_id: UUID | None
    kind: DriftKind


class Place(NamedTuple):
    """Where a walk goes on: behind an id of a project, or at the project's beginning."""

    project: str
    after: UUID | None = None


@dataclass
class Drift:
    """What a comparison found; of the differences themselves up to a hundred."""

    checked: int = 0
    missing: int = 0
    stale: int = 0
    unexpected: int = 0
    strays: int = 0
    ranges: int = 0
    differing: int = 0
    """How many of the ranges had to be opened."""
    place: Place | None = None
    """Where the next call goes on; ``None`` at the end of the last project."""
    samples: list[Difference] = field(default_factory=list)

    def compare(
        self, project: str, truth: Mapping[UUID, State], projection: Mapping[UUID, State], queued: set[UUID]
    ) -> None:
        """Count the differences between two pages of the same range; what is queued is known to be behind."""
        for memory_id in sorted((truth.keys() | projection.keys()) - queued):
            wanted, present = truth.get(memory_id), projection.get(memory_id)
            if wanted == present:
                continue
            kind: DriftKind = "missing" if present is None else "unexpected" if wanted is None else "stale"
            self.missing += kind == "missing"
            self.unexpected += kind == "unexpected"
            self.stale += kind == "stale"
            self._name(Difference(project, memory_id, kind))

    def stray(self, project: str, number: int) -> None:
        """Count what no memory of a project supports."""
        if number:
            self.strays += number
            self._name(Difference(project, None, "stray"))

    def _name(self, difference: Difference) -> None:
        if len(self.samples) < _SAMPLES:
            self.samples.append(difference)


def range_hash(states: Mapping[UUID, State]) -> str:
    """One hash of everything in a range."""
    digest = hashlib.blake2b(digest_size=16)
    for memory_id, state in sorted(states.items()):
        digest.update(f"{memory_id} {state.version} {state.content_hash}\n".encode())
    return digest.hexdigest()


async def compare(
    database: Database, graph: GraphSink, projects: Sequence[str], start: Place | None, ranges: int
) -> Drift:
    """Compare up to so many ranges of these projects, in order, from a place on. Raises :class:`SinkUnavailable`."""
    drift = Drift()
    until = time.monotonic() + _SECONDS
    for project in sorted(projects):
        if start is not None and project < start.project:
            continue
        after = start.after if start is not None and project == start.project else None
        while True:
            if drift.ranges >= ranges or time.monotonic() > until:
                drift.place = Place(project, after)
                return drift
            after = await _compare_range(database, graph, project, after, drift)
            drift.ranges += 1
            if after is None:
                drift.stray(project, await graph.strays(project))
                break
    return drift


async def _compare_range(
    database: Database, graph: GraphSink, project: str, after: UUID | None, drift: Drift
) -> UUID | None:
    """Compare the next range of ids; returns where it ended, ``None`` at the end of both."""
    present = await graph.read(project, after, RANGE)
    ids = await records.ids_after(database, project, after, RANGE)
    end = shared_end(ids, [row[0] for row in present], RANGE)
    wanted = [i for i in ids if end is None or i <= end]
    projection = {i: State(version, digest) for i, version, digest in present if end is None or i <= end}
    found = await records.newest(database, project, wanted)
    truth = {i: State(r.version, content_hash(r)) for i, r in found.items() if r.memory is not None}
    drift.checked += len(truth.keys() | projection.keys())
    if range_hash(truth) != range_hash(projection):
        drift.differing += 1
        queued = await deliveries.queued(database, graph.name, project, list(truth.keys() | projection.keys()))
        drift.compare(project, truth, projection, queued)
    return end


def shared_end(one: Sequence[UUID], other: Sequence[UUID], limit: int) -> UUID | None:
    """Up to which id two pages in order are both known; ``None``: to the end.

    A full page may go on behind its last id.
    """
    ends = [page[-1] for page in (one, other) if len(page) == limit]
    return min(ends) if ends else None
