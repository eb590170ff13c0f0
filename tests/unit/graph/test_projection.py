"""Whatever happens on the way, the graph becomes the one that a rebuild makes: on a model of both stores.

The same is asked of PostgreSQL and Neo4j in ``tests/integration/graph``, for far fewer sequences.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import example, given, settings
from hypothesis import strategies as st

from memsys_api.model import UNSPECIFIC, EndedRelation, Entity, Extraction, Memory, Relation, Scope, SinkRecord
from memsys_api.sinks.graph import steps

from .graph_model import Broken, GraphModel

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
KEYS = "abcd"
MEMORIES = 3
Said = tuple[frozenset[str], tuple[tuple[str, str], ...]]
"""Whom a version mentions, and between whom it states something."""


@dataclass
class Source:
    """What PostgreSQL holds: versions, entities, which names are merged, and which memories are due in the graph."""

    versions: dict[int, list[Said | None]] = field(default_factory=dict)
    entities: dict[str, Entity] = field(default_factory=dict)
    merged: dict[str, str] = field(default_factory=dict)
    demands: dict[int, int] = field(default_factory=dict)
    """How often a memory has become due."""
    settled: dict[int, int] = field(default_factory=dict)
    revisions: int = 0
    """How often an entity was named."""
    renamed: set[str] = field(default_factory=set)
    """Entities of which nobody who reads memories for the graph has heard yet."""

    def write(self, number: int, said: Said | None, persons: frozenset[str] = frozenset()) -> None:
        versions = self.versions.get(number, [])
        if said is not None or (versions and versions[-1] is not None):
            self.versions[number] = [*versions, said]
            self._demand(number)
        for key in sorted(said[0]) if said is not None else ():
            kind, known = "person" if key in persons else UNSPECIFIC, self.entities.get(key)
            if known is None or (known.kind == UNSPECIFIC != kind):
                self.revisions += 1
                self.entities[key] = Entity(key, key.upper(), kind, self.revisions)
                self.renamed |= {key} if known else set()

    def announce(self) -> None:
        """Make due whatever memory speaks, or has spoken, of a renamed entity under any of its names."""
        for number, versions in self.versions.items():
            spoken_of = {key for said in versions if said is not None for key in said[0]}
            if versions[-1] is not None and any(self.renamed.intersection(self._stands_for(key)) for key in spoken_of):
                self._demand(number)
        self.renamed.clear()

    def merge(self, source: str, target: str | None) -> None:
        before = dict(self.merged)
        self.merged.pop(source, None)
        if target is not None and self.resolved(target) != source:
            self.merged[source] = target
        if self.merged != before:
            for number in self.versions:
                self._demand(number)

    def resolved(self, key: str) -> str:
        return self._stands_for(key)[-1]

    def _stands_for(self, key: str) -> list[str]:
        names = [key]
        while names[-1] in self.merged:
            names.append(self.merged[names[-1]])
        return names

    def due(self) -> list[int]:
        return [number for number in sorted(self.demands) if self.settled.get(number) != self.demands[number]]

    def record(self, number: int) -> SinkRecord:
        versions = self.versions[number]
        identity, current = UUID(int=number + 1), len(versions)
        said = versions[-1]
        if said is None:
            return SinkRecord("p", identity, current, None)
        ended = tuple(
            EndedRelation(relation, version, _at(version), _at(version + 1))
            for version, earlier in enumerate(versions[:-1], 1)
            if earlier is not None
            for relation in self._relations(earlier)
        )
        keys = {self.resolved(key) for key in said[0]}
        beside = {key for one in ended for key in (one.relation.subject, one.relation.object)} - keys
        memory = Memory(identity, Scope("p"), current, f"{number}.{current}", "", NOON, NOON, _at(current))
        extraction = Extraction(self._named(keys), tuple(self._relations(said)))
        return SinkRecord("p", identity, current, memory, extraction, ended, self._named(beside))

    def _relations(self, said: Said) -> list[Relation]:
        resolved = [(self.resolved(subject), self.resolved(target)) for subject, target in said[1]]
        return [Relation(subject, "knows", target) for subject, target in resolved if subject != target]

    def _named(self, keys: set[str]) -> tuple[Entity, ...]:
        return tuple(self.entities.get(key) or Entity(key, key) for key in sorted(keys))

    def _demand(self, number: int) -> None:
        self.demands[number] = self.demands.get(number, 0) + 1


def _at(version: int) -> datetime:
    return NOON + timedelta(hours=version)


@dataclass
class World:
    """One life: the source, the graph, and what a worker has read and not applied yet."""

    atomic: bool
    """Whether a batch that breaks off leaves nothing behind, as in Neo4j, or all until then, as in Neptune."""
    source: Source = field(default_factory=Source)
    graph: GraphModel = field(default_factory=GraphModel)
    claimed: dict[int, tuple[int, SinkRecord]] = field(default_factory=dict)
    past: list[SinkRecord] = field(default_factory=list)

    def claim(self) -> None:
        """A worker takes what is due, as it is now; much may happen before it is applied."""
        claimed = [number for number in self.source.due() if number not in self.claimed]
        demands = dict(self.source.demands)
        if claimed:
            self.source.announce()
        for number in claimed:
            self.claimed[number] = (demands[number], self.source.record(number))

    async def deliver(self, breaks_after: int | None = None) -> None:
        """The worker applies what it has read; dead before it could say so, it leaves all of that due."""
        claims, self.claimed = self.claimed, {}
        records = [record for _, record in claims.values()]
        with suppress(Broken):
            await self._apply(records, breaks_after)
            if breaks_after is None:
                self.source.settled |= {number: demand for number, (demand, _) in claims.items()}
        self.past += records

    async def replay(self, number: int) -> None:
        """What was overtaken long ago comes in once more."""
        old = [one for one in self.past if one.version < len(self.source.versions[one.id.int - 1])]
        if old and not self.claimed:
            await self._apply([old[number % len(old)]], None)

    async def _apply(self, records: Sequence[SinkRecord], breaks_after: int | None) -> None:
        graph = copy.deepcopy(self.graph) if self.atomic else self.graph
        graph.breaks_after = breaks_after
        try:
            await steps.apply(graph, records)
            self.graph = graph
        finally:
            graph.breaks_after = None


_KEY = st.sampled_from(KEYS)
_SAID = st.lists(st.tuples(_KEY, _KEY).filter(lambda pair: pair[0] != pair[1]), max_size=2, unique=True).flatmap(
    lambda pairs: st.frozensets(_KEY, max_size=2).map(
        lambda keys: (keys | {key for pair in pairs for key in pair}, tuple(pairs))
    )
)
_NUMBER = st.integers(0, MEMORIES - 1)
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), _NUMBER, _SAID, st.frozensets(_KEY, max_size=2)),
        st.tuples(st.just("write"), _NUMBER, st.none(), st.just(frozenset())),
        st.tuples(st.just("merge"), _KEY, st.none() | _KEY),
        st.tuples(st.just("claim")),
        st.tuples(st.just("deliver")),
        st.tuples(st.just("crash"), st.integers(0, 12)),
        st.tuples(st.just("replay"), st.integers(0, 9)),
    ),
    min_size=3,
    max_size=25,
)


_ANNA: Said = (frozenset("ab"), (("a", "b"),))
_BOB: Said = (frozenset("c"), ())
_NONE: frozenset[str] = frozenset()
_ONCE_MORE = [("deliver",), ("replay", 0)]
_FOUND_TO_BE_A_PERSON = [("write", 0, _ANNA, _NONE), ("deliver",), ("write", 1, _ANNA, frozenset("a"))]
"""By a memory that says something else, or is gone, before it gets to the graph."""


@settings(max_examples=400, deadline=None)
@given(sequence=_STEPS, atomic=st.booleans())
@example(sequence=[("write", 0, _ANNA, _NONE), ("deliver",), ("write", 0, _BOB, _NONE), *_ONCE_MORE], atomic=True)
@example(sequence=[("write", 0, _ANNA, _NONE), ("deliver",), ("write", 0, None, _NONE), *_ONCE_MORE], atomic=True)
@example(sequence=[("write", 0, _ANNA, _NONE), ("claim",), ("merge", "a", "c"), ("deliver",)], atomic=False)
@example(sequence=[*_FOUND_TO_BE_A_PERSON, ("write", 1, _BOB, _NONE)], atomic=True)
@example(sequence=[*_FOUND_TO_BE_A_PERSON, ("write", 1, None, _NONE)], atomic=True)
def test_any_sequence_gives_the_graph_of_a_rebuild(sequence: list[tuple[object, ...]], atomic: bool) -> None:
    asyncio.run(_lived_and_rebuilt(sequence, atomic))


async def _lived_and_rebuilt(sequence: list[tuple[object, ...]], atomic: bool) -> None:
    world = World(atomic)
    for step in sequence:
        match step:
            case ("write", int(number), said, persons):
                world.source.write(number, said, persons)  # type: ignore[arg-type]
            case ("merge", str(source), target) if source != target:
                world.source.merge(source, target)  # type: ignore[arg-type]
            case ("claim",):
                world.claim()
            case ("deliver",):
                world.claim()
                await world.deliver()
            case ("crash", int(after)):
                world.claim()
                await world.deliver(breaks_after=after)
            case ("replay", int(number)):
                await world.replay(number)
    while world.source.due():
        world.claim()
        await world.deliver()
    if not atomic:
        while await steps.sweep_some(world.graph, "p"):
            pass
    rebuilt = GraphModel()
    await steps.apply(rebuilt, [world.source.record(number) for number in sorted(world.source.versions)])
    assert world.graph.content() == rebuilt.content()
    assert world.graph.outline() == _outline([world.source.record(number) for number in world.source.versions])


def _outline(records: Sequence[SinkRecord]) -> dict[str, object]:
    """What a graph of these records must hold, without the steps that make it."""
    living = [one for one in records if one.memory is not None]
    stated = [(one, relation, one.version, False) for one in living for relation in one.extraction.relations]
    stated += [(one, ended.relation, ended.version, True) for one in living for ended in one.ended]
    mentions = {(str(one.id), entity.key) for one in living for entity in one.extraction.entities}
    return {
        "memories": {str(one.id): one.version for one in living},
        "tombstones": {str(one.id): one.version for one in records if one.memory is None},
        "mentions": sorted(mentions),
        "relations": sorted((str(one.id), at, r.subject, r.object, ended) for one, r, at, ended in _once(stated)),
        "entities": {key for _, key in mentions} | {key for _, r, *_ in stated for key in (r.subject, r.object)},
    }


def _once(stated: Sequence[tuple[SinkRecord, Relation, int, bool]]) -> list[tuple[SinkRecord, Relation, int, bool]]:
    """Two names of one entity may make two statements the same."""
    return list({(one.id, relation, at): (one, relation, at, ended) for one, relation, at, ended in stated}.values())
