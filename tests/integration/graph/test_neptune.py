"""The sink on Amazon Neptune: signed as AWS wants it, in openCypher that Neptune has, and whole after any failure."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from uuid import UUID

import pytest

from memsys_api.model import EndedRelation, Entity, Relation, Scope
from memsys_api.ports import SinkUnavailable
from memsys_api.sinks.graph import Neo4jSink, NeptuneSink, content_hash
from memsys_api.sinks.graph.neptune import NeptuneError
from tests.support.neo4j_server import Neo4jServer
from tests.support.scripted_neptune import ACCESS_KEY, REGION, SECRET_KEY, ScriptedNeptune

from .support import NOON, record, snapshot


@pytest.fixture
def neptune(server: Neo4jServer, sink: Neo4jSink, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedNeptune]:
    """Beside ``sink``, which has laid the constraints: a second node of one key is then an error and no surprise."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    with ScriptedNeptune(server.uri, (server.user, server.password)) as running:
        yield running


@pytest.fixture
async def on_neptune(neptune: ScriptedNeptune) -> AsyncIterator[NeptuneSink]:
    made = NeptuneSink(neptune.endpoint, REGION)
    await made.prepare()
    yield made
    await made.close()


LIKES = Relation("anna", "likes", "tea")


async def test_both_stores_hold_the_same_of_the_same_records(
    on_neptune: NeptuneSink, sink: Neo4jSink, server: Neo4jServer, project: str
) -> None:
    other = f"{project}-neo4j"
    for store, where in ((on_neptune, project), (sink, other)):
        first = [record(where, n, entities=["anna", "tea"], relations=[LIKES]) for n in range(3)]
        await store.apply(first)
        await store.apply(
            [
                record(where, 0, 2, deleted=True),
                record(where, 1, 2, entities=[Entity("anna", "Anna B.", "person", 5)]),
            ]
        )
        await store.apply(first)  # late, and refused
    lived, reference = snapshot(server, project), snapshot(server, other)
    assert lived == reference
    assert len(lived["memories"]) == 2


async def test_what_is_read_back_hashes_as_what_was_written(on_neptune: NeptuneSink, project: str) -> None:
    ended = EndedRelation(Relation("anna", "likes", "coffee", valid_from=NOON), 1, NOON, NOON + timedelta(days=1))
    coffee = [Entity("coffee", "Coffee", revision=1)]
    made = [
        record(project, 0, 2, entities=["anna", "tea"], relations=[LIKES], ended=[ended], beside=coffee, user_id="u"),
        record(project, 1, text="nothing named"),
    ]
    await on_neptune.apply(made)
    expected = [(one.id, one.version, content_hash(one)) for one in made]
    assert await on_neptune.read(project, None, 10) == expected
    assert await on_neptune.read(project, made[0].id, 1) == expected[1:]
    assert await on_neptune.versions(project, [one.id for one in made]) == {one.id: one.version for one in made}
    assert await on_neptune.holding(project, [one.id for one in made]) == 2
    assert project in await on_neptune.projects()


async def test_what_goes_leaves_nothing_behind(on_neptune: NeptuneSink, server: Neo4jServer, project: str) -> None:
    made = record(project, 0, entities=["anna", "tea"], relations=[LIKES])
    await on_neptune.apply([made])
    assert (await on_neptune.strays(project), await on_neptune.sweep(project)) == (0, 0)
    await on_neptune.forget(project, [made.id])
    found = snapshot(server, project)
    assert not any(found.values())


async def test_neighbours_are_those_of_neo4j(on_neptune: NeptuneSink, sink: Neo4jSink, project: str) -> None:
    await on_neptune.apply(
        [
            record(project, 0, entities=["anna", "tea"], relations=[LIKES], user_id="u"),
            record(project, 1, entities=["tea"], user_id="u"),
            record(project, 2, entities=["anna", "berlin"], user_id="u"),
            record(project, 3, entities=["anna"], user_id="another"),
        ]
    )
    scope = Scope(project, user_id="u")
    expected = await sink.neighbours(scope, ["anna", "unknown"], 10)
    found = await on_neptune.neighbours(scope, ["anna", "unknown"], 10)
    assert dict(found) == pytest.approx(dict(expected))
    assert {memory_id for memory_id, _ in found} == {UUID(int=n) for n in (1, 2, 3)}
    assert await on_neptune.neighbours(scope, ["unknown"], 10) == []


@pytest.mark.parametrize("after", [False, True])
async def test_a_batch_that_breaks_off_anywhere_is_whole_when_it_is_tried_again(
    on_neptune: NeptuneSink, neptune: ScriptedNeptune, server: Neo4jServer, project: str, after: bool
) -> None:
    """Each statement is a transaction of its own: whichever is the last, a second try ends as an undisturbed one."""
    first = record(project, 0, entities=["anna", "tea"], relations=[LIKES])
    second = record(project, 0, 2, entities=["anna", "rome"], relations=[Relation("anna", "visits", "rome")])
    await on_neptune.apply([first])
    neptune.calls.clear()
    await on_neptune.apply([second])
    statements, whole = len(neptune.calls), snapshot(server, project)
    for broken in range(statements):
        await on_neptune.forget(project, [first.id])
        await on_neptune.apply([first])
        neptune.fail(500, "ConcurrentModificationException", passing=broken, after=after)
        with pytest.raises(SinkUnavailable, match="ConcurrentModificationException"):
            await on_neptune.apply([second])
        await on_neptune.apply([second])
        assert snapshot(server, project) == whole, f"broken at statement {broken}"


async def test_without_credentials_or_with_the_wrong_ones_the_graph_is_away(
    neptune: ScriptedNeptune,
) -> None:
    elsewhere = NeptuneSink(neptune.endpoint, "us-east-1")
    assert not await elsewhere.available()
    with pytest.raises(SinkUnavailable, match="neptune-db:connect"):
        await elsewhere.projects()
    unsigned = NeptuneSink(neptune.endpoint, None)
    assert not await unsigned.available()
    neptune.iam = False
    assert await unsigned.available()
    for one in (elsewhere, unsigned):
        await one.close()


async def test_errors_of_the_statement_are_told_from_those_of_the_server(
    on_neptune: NeptuneSink, neptune: ScriptedNeptune, project: str
) -> None:
    for status, code in ((500, "TimeLimitExceededException"), (429, "TooManyRequestsException"), (503, "")):
        neptune.fail(status, code)
        with pytest.raises(SinkUnavailable):
            await on_neptune.apply([record(project, 0)])
    neptune.fail(400, "MalformedQueryException")
    with pytest.raises(NeptuneError, match="MalformedQueryException"):
        await on_neptune.apply([record(project, 0)])


async def test_nobody_listens() -> None:
    sink = NeptuneSink("http://127.0.0.1:9", None)
    assert not await sink.available()
    with pytest.raises(SinkUnavailable, match="cannot be reached"):
        await sink.apply([record("p", 0)])
    await sink.close()
