"""Whatever happens on the way, the graph ends as if only the last state of each memory had ever been applied."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memsys_api.model import Entity, Relation, SinkRecord
from memsys_api.sinks.graph import Neo4jSink
from tests.support.neo4j_server import Neo4jServer

from .support import record, snapshot

_numbers = count()

_keys = st.sampled_from(["anna", "berlin", "tea", "acme"])
_entities = st.lists(_keys.map(lambda key: Entity(key, key)), max_size=3, unique_by=lambda one: one.key)
_relations = st.lists(st.builds(Relation, _keys, st.sampled_from(["likes", "knows"]), _keys), max_size=2)


@st.composite
def _histories(draw: st.DrawFn) -> list[SinkRecord]:
    """Every version of up to four memories, one after another; some end deleted, some come back."""
    history = []
    for number in range(draw(st.integers(1, 4))):
        for version in range(1, draw(st.integers(1, 4)) + 1):
            history.append(
                record(
                    "?",
                    number,
                    version,
                    entities=draw(_entities),
                    relations=draw(_relations),
                    deleted=version > 1 and draw(st.booleans()),
                )
            )
    return history


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as made:
        yield made


@pytest.fixture(scope="module")
def shared(server: Neo4jServer, runner: asyncio.Runner) -> Iterator[Neo4jSink]:
    async def make() -> Neo4jSink:
        sink = Neo4jSink(server.uri, server.user, server.password)
        await sink.prepare()
        return sink

    sink = runner.run(make())
    yield sink
    runner.run(sink.close())


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=_histories(), data=st.data())
def test_any_order_ends_in_the_last_states(
    shared: Neo4jSink, runner: asyncio.Runner, server: Neo4jServer, history: list[SinkRecord], data: st.DataObject
) -> None:
    deliveries = data.draw(st.permutations(history + data.draw(st.lists(st.sampled_from(history), max_size=6))))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(deliveries)), max_size=5)))
    batches = [deliveries[start:end] for start, end in zip([0, *cuts], [*cuts, len(deliveries)], strict=True)]
    last = {one.id: one for one in sorted(history, key=lambda one: one.version)}

    lived, rebuilt = f"lived-{next(_numbers)}", f"rebuilt-{next(_numbers)}"
    for batch in batches:
        runner.run(shared.apply([_in(lived, one) for one in batch]))
    runner.run(shared.apply([_in(rebuilt, one) for one in last.values()]))
    assert snapshot(server, lived) == snapshot(server, rebuilt)
    assert runner.run(shared.read(lived, None, 100)) == runner.run(shared.read(rebuilt, None, 100))


def _in(project: str, one: SinkRecord) -> SinkRecord:
    return replace(one, project=project)
