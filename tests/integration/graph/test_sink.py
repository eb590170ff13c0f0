"""The Neo4j sink against a real server: what is applied, refused, removed, found and read back."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any, LiteralString
from uuid import UUID

import neo4j
import pytest

from memsys_api.model import EndedRelation, Entity, Relation, Scope
from memsys_api.sinks.graph import Neo4jSink, content_hash
from tests.support.neo4j_server import Neo4jServer

from .support import NOON, record, snapshot


async def test_prepare_twice_leaves_one_of_each(sink: Neo4jSink, server: Neo4jServer) -> None:
    await sink.prepare()
    with neo4j.GraphDatabase.driver(server.uri, auth=(server.user, server.password)) as driver:
        names = [row["name"] for row in driver.execute_query("SHOW CONSTRAINTS YIELD name").records]
    assert sorted(names) == ["entity_identity", "memory_identity", "project_identity", "tombstone_identity"]


async def test_replicas_that_start_together_all_get_ready(server: Neo4jServer, project: str) -> None:
    for start in range(3):
        _without_schema(server)
        sinks = [Neo4jSink(server.uri, server.user, server.password) for _ in range(4)]
        try:
            await asyncio.gather(*(_start(sink, project, 10 * start + n) for n, sink in enumerate(sinks)))
        finally:
            await asyncio.gather(*(sink.close() for sink in sinks))
    assert len(snapshot(server, project)["memories"]) == 12


async def test_an_index_that_a_killed_server_left_without_its_constraint_is_made_anew(
    sink: Neo4jSink, server: Neo4jServer, project: str
) -> None:
    _without_schema(server)
    with neo4j.GraphDatabase.driver(server.uri, auth=(server.user, server.password)) as driver:
        driver.execute_query("CREATE INDEX entity_identity FOR (e:Entity) ON (e.project, e.key)")
        await _start(sink, project, 0)
        rows = driver.execute_query("SHOW INDEXES YIELD name, owningConstraint, type WHERE type <> 'LOOKUP'").records
    owners = {row["name"]: row["owningConstraint"] for row in rows}
    constraints = ("memory_identity", "entity_identity", "tombstone_identity", "project_identity")
    assert owners == {**dict(zip(constraints, constraints, strict=True)), "relates_provenance": None}


async def _start(sink: Neo4jSink, project: str, number: int) -> None:
    """What a dispatcher does first."""
    await sink.prepare()
    await sink.apply([record(project, number, entities=["anna"])])


def _without_schema(server: Neo4jServer) -> None:
    with neo4j.GraphDatabase.driver(server.uri, auth=(server.user, server.password)) as driver:
        for kind, owned in (("CONSTRAINT", ""), ("INDEX", " WHERE type <> 'LOOKUP'")):
            for row in driver.execute_query(f"SHOW {kind} YIELD *{owned} RETURN name").records:  # type: ignore[arg-type]
                driver.execute_query(f"DROP {kind} {row['name']}")  # type: ignore[arg-type]


async def test_apply_writes_memories_entities_and_relations(sink: Neo4jSink, server: Neo4jServer, project: str) -> None:
    works = Relation("anna", "works_at", "acme", valid_from=NOON)
    people = (Entity("anna", "Anna", "person"), Entity("acme", "ACME"))
    assert await sink.apply([record(project, 0, entities=people, relations=[works], user_id="u")]) == {}
    found = snapshot(server, project)
    identity = str(UUID(int=1))
    assert found["memories"] == [(identity, 1, "memory 0 at version 1", "u")]
    assert found["entities"] == [("acme", "ACME", "entity"), ("anna", "Anna", "person")]
    assert [row[:5] for row in found["relations"]] == [("anna", "works_at", "acme", identity, 1)]


async def test_applying_again_changes_nothing(sink: Neo4jSink, server: Neo4jServer, project: str) -> None:
    records = [record(project, n, entities=["anna", f"thing {n}"]) for n in range(3)]
    await sink.apply(records)
    before = snapshot(server, project)
    await sink.apply(records[::-1] + records)
    assert snapshot(server, project) == before


async def test_an_older_version_is_refused(sink: Neo4jSink, server: Neo4jServer, project: str) -> None:
    await sink.apply([record(project, 0, 3, entities=["new"])])
    before = snapshot(server, project)
    assert await sink.apply([record(project, 0, 2, entities=["old"])]) == {}
    assert snapshot(server, project) == before


async def test_a_late_add_does_not_raise_the_dead(sink: Neo4jSink, server: Neo4jServer, project: str) -> None:
    await sink.apply([record(project, 0, 2, deleted=True)])
    await sink.apply([record(project, 0, 1, entities=["anna"])])
    found = snapshot(server, project)
    assert found["memories"] == []
    assert found["entities"] == []
    assert found["tombstones"] == [(str(UUID(int=1)), 2)]


async def test_a_newer_version_replaces_a_tombstone(sink: Neo4jSink, server: Neo4jServer, project: str) -> None:
    await sink.apply([record(project, 0, 2, deleted=True)])
    await sink.apply([record(project, 0, 3, entities=["anna"])])
    found = snapshot(server, project)
    assert len(found["memories"]) == 1
    assert found["tombstones"] == []


async def test_deleting_removes_what_only_that_memory_supported(
    sink: Neo4jSink, server: Neo4jServer, project: str
) -> None:
    likes = Relation("anna", "likes", "tea")
    await sink.apply(
        [
            record(project, 0, entities=["anna", "tea"], relations=[likes]),
            record(project, 1, entities=["anna"]),
        ]
    )
    await sink.apply([record(project, 0, 2, deleted=True)])
    found = snapshot(server, project)
    assert found["entities"] == [("anna", "Anna", "entity")]
    assert found["relations"] == []
    assert found["mentions"] == [(str(UUID(int=2)), "anna")]


async def test_updating_moves_the_mentions(sink: Neo4jSink, server: Neo4jServer, project: str) -> None:
    await sink.apply([record(project, 0, entities=["berlin"], relations=[Relation("a", "lives_in", "berlin")])])
    await sink.apply([record(project, 0, 2, entities=["rome"], relations=[Relation("a", "lives_in", "rome")])])
    found = snapshot(server, project)
    assert [row[0] for row in found["entities"]] == ["a", "rome"]
    assert [row[:3] for row in found["relations"]] == [("a", "lives_in", "rome")]


async def test_an_entity_shows_the_newest_name_whichever_memory_brings_it_first(
    sink: Neo4jSink, server: Neo4jServer, project: str
) -> None:
    first, second = Entity("anna", "ANNA", "entity", 3), Entity("anna", "Anna", "person", 7)
    await sink.apply([record(project, 0, entities=[second])])
    await sink.apply([record(project, 1, entities=[first])])
    assert snapshot(server, project)["entities"] == [("anna", "Anna", "person")]


async def test_what_an_earlier_version_stated_is_ended_not_deleted(
    sink: Neo4jSink, server: Neo4jServer, project: str
) -> None:
    lived, lives = Relation("anna", "lives_in", "rome"), Relation("anna", "lives_in", "oslo")
    ended = EndedRelation(lived, 1, NOON, NOON + timedelta(days=1))
    await sink.apply([record(project, 0, entities=["anna", "rome"], relations=[lived])])
    rome = Entity("rome", "Rome", revision=1)
    later = record(project, 0, 2, entities=["anna", "oslo"], relations=[lives], ended=[ended], beside=[rome])
    await sink.apply([later])
    found = snapshot(server, project)
    assert [(*row[:3], row[4], row[6]) for row in found["relations"]] == [
        ("anna", "lives_in", "oslo", 2, None),
        ("anna", "lives_in", "rome", 1, "2026-05-05T12:00:00Z"),
    ]
    assert [row[1] for row in found["mentions"]] == ["anna", "oslo"]
    assert ("rome", "Rome", "entity") in found["entities"]
    await sink.apply([record(project, 0, 3, deleted=True)])
    assert not any(rows for name, rows in snapshot(server, project).items() if name != "tombstones")


async def test_the_same_version_mends_a_graph_changed_by_hand(
    sink: Neo4jSink, server: Neo4jServer, project: str
) -> None:
    records = [record(project, 0, entities=["anna", "tea"], relations=[Relation("anna", "likes", "tea")])]
    await sink.apply(records)
    before = snapshot(server, project)
    with neo4j.GraphDatabase.driver(server.uri, auth=(server.user, server.password)) as driver:
        driver.execute_query("MATCH (m:Memory {project: $p}) SET m.text = 'forged'", p=project)
        driver.execute_query("MATCH (e:Entity {project: $p, key: 'tea'}) DETACH DELETE e", p=project)
    assert snapshot(server, project) != before
    await sink.apply(records)
    assert snapshot(server, project) == before


async def test_projects_do_not_touch(sink: Neo4jSink, server: Neo4jServer, project: str) -> None:
    other = project + "-other"
    await sink.apply([record(project, 0, entities=["anna"]), record(other, 0, entities=["anna"])])
    await sink.apply([record(other, 0, 2, deleted=True)])
    assert len(snapshot(server, project)["entities"]) == 1
    assert snapshot(server, other)["entities"] == []
    assert await sink.neighbours(Scope(other), ["anna"], 10) == []


async def test_concurrent_batches_on_the_same_entities(sink: Neo4jSink, server: Neo4jServer, project: str) -> None:
    batches = [
        [record(project, n, version, entities=["anna", "berlin"], deleted=version == 2) for n in range(20)]
        for version in (1, 2)
        for _ in range(4)
    ]
    await asyncio.gather(*(sink.apply(batch) for batch in batches))
    found = snapshot(server, project)
    assert found["memories"] == found["entities"] == found["mentions"] == []
    assert len(found["tombstones"]) == 20


async def test_neighbours_follow_mentions_then_relations(sink: Neo4jSink, project: str) -> None:
    await sink.apply(
        [
            record(project, 0, entities=["anna"], user_id="u"),
            record(project, 1, entities=["acme"], user_id="u"),
            record(project, 2, relations=[Relation("anna", "works_at", "acme")], user_id="u"),
            record(project, 3, entities=["nobody"], user_id="u"),
            record(project, 4, entities=["anna"], user_id="somebody else"),
        ]
    )
    near = dict(await sink.neighbours(Scope(project, user_id="u"), ["anna", "unknown"], 10))
    assert set(near) == {UUID(int=n) for n in (1, 2, 3)}
    assert all(0 < weight <= 1 for weight in near.values())
    assert near[UUID(int=3)] > near[UUID(int=1)] > near[UUID(int=2)]


async def test_an_entity_that_is_everywhere_is_not_followed(
    sink: Neo4jSink, project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("memsys_api.sinks.graph.neo4j_sink.HUB_MENTIONS", 2)
    await sink.apply([record(project, n, entities=["hub", *(["rare"] if n == 0 else [])]) for n in range(3)])
    assert [identity for identity, _ in await sink.neighbours(Scope(project), ["hub", "rare"], 10)] == [UUID(int=1)]


async def test_read_hashes_what_the_graph_really_holds(sink: Neo4jSink, server: Neo4jServer, project: str) -> None:
    relation = Relation("anna", "likes", "tea", valid_from=NOON)
    made = [record(project, n, entities=["anna"], relations=[relation] if n else []) for n in range(5)]
    await sink.apply(made)
    expected = [(one.id, one.version, content_hash(one)) for one in made]
    first = await sink.read(project, None, 3)
    assert first == expected[:3]
    assert first + await sink.read(project, first[-1][0], 10) == expected
    with neo4j.GraphDatabase.driver(server.uri, auth=(server.user, server.password)) as driver:
        driver.execute_query(
            "MATCH ()-[r:RELATES {project: $p, memory_id: $id}]->() SET r.predicate = 'hates'",
            p=project,
            id=str(made[1].id),
        )
    changed = await sink.read(project, None, 10)
    assert [was != is_now for was, is_now in zip(expected, changed, strict=True)] == [False, True, False, False, False]


@pytest.mark.parametrize(
    "edit",
    [
        "MATCH (m:Memory {project: $p}) SET m.text = 'forged'",
        "MATCH (m:Memory {project: $p}) SET m.user_id = 'somebody else'",
        "MATCH (m:Memory {project: $p}) SET m.event_time = m.event_time - duration('P1D')",
        "MATCH (m:Memory {project: $p}) SET m.version = 'none'",
        "MATCH (e:Entity {project: $p, key: 'tea'}) SET e.name = 'Coffee'",
        "MATCH (:Memory {project: $p})-[x:MENTIONS]->(:Entity {key: 'tea'}) DELETE x",
        "MATCH (m:Memory {project: $p})-[:MENTIONS]->(e {key: 'tea'}) CREATE (m)-[:MENTIONS]->(e)",
        "MATCH ()-[r:RELATES {project: $p}]->() SET r.recorded_to = datetime()",
        "MATCH (s)-[r:RELATES {project: $p}]->(o) CREATE (o)-[x:RELATES]->(s) SET x = properties(r)",
        "MATCH ()-[r:RELATES {project: $p}]->() DELETE r",
    ],
)
async def test_every_edit_by_hand_changes_the_hash_and_is_mended_by_applying_again(
    sink: Neo4jSink, server: Neo4jServer, project: str, edit: str
) -> None:
    likes = Relation("anna", "likes", "tea", valid_from=NOON)
    made = record(project, 0, entities=["anna", "tea"], relations=[likes], user_id="u")
    await sink.apply([made])
    before = snapshot(server, project)
    assert await sink.read(project, None, 10) == [(made.id, 1, content_hash(made))]
    _by_hand(server, edit, p=project)
    assert await sink.read(project, None, 10) != [(made.id, 1, content_hash(made))]
    await sink.apply([made])
    assert snapshot(server, project) == before
    assert await sink.read(project, None, 10) == [(made.id, 1, content_hash(made))]


async def test_a_memory_with_an_id_that_is_none_does_not_stop_the_reading(
    sink: Neo4jSink, server: Neo4jServer, project: str
) -> None:
    made = [record(project, n) for n in range(4)]
    await sink.apply(made)
    for name in ("0000000x", "zzzz"):
        _by_hand(server, "CREATE (:Memory {project: $p, id: $id, text: 'by hand'})", p=project, id=name)
    assert [row[0] for row in await sink.read(project, None, 4)] == [one.id for one in made]


async def test_forgetting_makes_room_for_any_version(sink: Neo4jSink, server: Neo4jServer, project: str) -> None:
    await sink.apply([record(project, 0, 9, entities=["anna"]), record(project, 1, 9, deleted=True)])
    ids = [UUID(int=1), UUID(int=2)]
    assert await sink.versions(project, [*ids, UUID(int=3)]) == dict.fromkeys(ids, 9)
    await sink.forget(project, ids)
    assert not any(snapshot(server, project).values())
    assert await sink.versions(project, ids) == {}
    await sink.apply([record(project, 0, 2)])
    assert await sink.versions(project, ids) == {ids[0]: 2}


async def test_what_no_memory_supports_is_counted_and_swept(sink: Neo4jSink, server: Neo4jServer, project: str) -> None:
    likes = Relation("anna", "likes", "tea")
    await sink.apply([record(project, 0, entities=["anna", "tea"], relations=[likes])])
    before = snapshot(server, project)
    assert (await sink.strays(project), await sink.sweep(project)) == (0, 0)
    _by_hand(server, "UNWIND range(1, 3) AS n CREATE (:Entity {project: $p, key: 'alone ' + n})", p=project)
    _by_hand(
        server,
        "MATCH (a:Entity {project: $p, key: 'anna'}) CREATE (a)-[:RELATES {project: $p, memory_id: 'none', "
        "predicate: 'owns', version: 1}]->(:Entity {project: $p, key: 'a boat'})",
        p=project,
    )
    assert await sink.strays(project) == 4  # the boat is alone only once the relation is gone
    assert await sink.sweep(project) == 5
    assert snapshot(server, project) == before
    assert project in await sink.projects()


def _by_hand(server: Neo4jServer, statement: LiteralString, **parameters: Any) -> None:
    with neo4j.GraphDatabase.driver(server.uri, auth=(server.user, server.password)) as driver:
        driver.execute_query(statement, parameters)
