"""Rows and hashes of the graph, without a server."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from neo4j.time import DateTime
from pydantic import SecretStr

from memsys_api.model import EndedRelation, Entity, Extraction, Memory, Relation, Scope, SinkRecord
from memsys_api.sinks.graph import Neo4jSink, create
from memsys_api.sinks.graph.content import (
    content_hash,
    entity_rows,
    memory_rows,
    mentioned,
    newest,
    relation_rows,
    stored_hash,
)

NOON = datetime(2026, 5, 4, 12, 0, 0, 123456, tzinfo=UTC)


def record(number: int, version: int, *entities: Entity) -> SinkRecord:
    memory = Memory(UUID(int=number), Scope("p"), version, "t", "h", NOON, NOON, NOON)
    return SinkRecord("p", UUID(int=number), version, memory, Extraction(entities))


def test_the_newest_record_of_each_memory() -> None:
    records = [record(2, 1), record(1, 2), record(1, 3), record(1, 1)]
    assert [(one.id.int, one.version) for one in newest(records)] == [(1, 3), (2, 1)]


def test_ends_of_relations_are_mentioned() -> None:
    found = mentioned(Extraction((Entity("a", "A"),), (Relation("a", "knows", "b"),)))
    assert {entity.key for entity in found} == {"a", "b"}


def test_the_name_of_an_entity_is_its_newest_in_any_order() -> None:
    one, other = record(1, 1, Entity("a", "A", "person", 2)), record(2, 1, Entity("a", "a", revision=1))
    assert entity_rows([one, other])[0]["name"] == entity_rows([other, one])[0]["name"] == "A"


_times = st.none() | st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))
_relations = st.lists(
    st.builds(Relation, st.sampled_from("ab"), st.text(max_size=3), st.sampled_from("ab"), _times, _times), max_size=4
)


@given(st.text(), _relations, _relations)
def test_the_hash_is_the_same_from_both_stores(text: str, relations: list[Relation], before: list[Relation]) -> None:
    extraction = Extraction((Entity("c", "C"),), tuple(relations))
    ended = tuple(EndedRelation(one, 1, NOON, NOON + timedelta(days=1)) for one in before)
    beside = tuple(Entity(key, key) for key in {k for one in before for k in (one.subject, one.object)} - {"c"})
    made = replace(record(1, 2), extraction=extraction, ended=ended, beside=beside)
    made = replace(made, memory=replace(made.memory, text=text))
    [memory] = memory_rows([made])
    stored = {name: _as_stored(value) for name, value in memory.items()}
    stored["mentioned"] = [{"key": e.key, "name": e.name, "kind": e.kind} for e in mentioned(extraction)]
    rows = [
        {name: _as_stored(value) for name, value in row.items()}
        | {end: {"key": row[end], "name": row[end], "kind": "entity"} for end in ("subject", "object")}
        for row in reversed(relation_rows([made]))
    ]
    assert content_hash(made) == stored_hash(stored, rows)


def _as_stored(value: object) -> object:
    return DateTime.from_native(value) if isinstance(value, datetime) else value


def test_the_hash_sees_the_instant_not_the_zone() -> None:
    elsewhere = NOON.astimezone(timezone(timedelta(hours=9)))
    one, same = (
        replace(record(1, 1), extraction=Extraction((), (Relation("a", "p", "b", time),))) for time in (NOON, elsewhere)
    )
    assert content_hash(one) == content_hash(same)


def test_the_hash_sees_names_but_not_their_order() -> None:
    anna, bob = Entity("a", "Anna"), Entity("b", "Bob")
    assert content_hash(record(1, 1, anna, bob)) == content_hash(record(1, 1, bob, anna))
    assert content_hash(record(1, 1, anna)) != content_hash(record(1, 1, replace(anna, name="Ann")))


class Settings:
    graph_store = "neo4j"
    neo4j_uri: str | None = "bolt://localhost:7687"
    neo4j_user = "neo4j"
    neo4j_password: SecretStr | None = SecretStr("secret")


async def test_create() -> None:
    settings = Settings()
    sink = create(settings)
    assert isinstance(sink, Neo4jSink)
    await sink.close()
    settings.graph_store = "none"
    assert create(settings) is None


@pytest.mark.parametrize("uri", [None, "http://localhost:7474", "nonsense"])
def test_an_address_that_is_none_names_the_setting(uri: str | None) -> None:
    settings = Settings()
    settings.neo4j_uri = uri
    with pytest.raises(ValueError, match="NEO4J_URI"):
        create(settings)
