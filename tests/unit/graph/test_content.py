"""Rows and hashes of the graph, without a server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from neo4j.time import DateTime
from pydantic import SecretStr

from memsys_api.model import Entity, Extraction, Memory, Relation, Scope, SinkRecord
from memsys_api.sinks.graph import Neo4jSink, create
from memsys_api.sinks.graph.content import content_hash, mentioned, name_rows, newest, stored_hash

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


def test_the_name_of_an_entity_does_not_depend_on_order() -> None:
    one, other = record(1, 1, Entity("a", "A", "person")), record(2, 1, Entity("a", "a"))
    assert name_rows([one, other])[0]["name"] == name_rows([other, one])[0]["name"] == "A"


_times = st.none() | st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))
_relations = st.lists(
    st.builds(Relation, st.sampled_from("ab"), st.text(max_size=3), st.sampled_from("ab"), _times, _times), max_size=4
)


@given(st.text(), _relations)
def test_the_hash_is_the_same_from_both_stores(text: str, relations: list[Relation]) -> None:
    extraction = Extraction((Entity("c", "C"),), tuple(relations))
    rows = [
        {
            "subject": one.subject,
            "predicate": one.predicate,
            "object": one.object,
            "valid_from": one.valid_from and DateTime.from_native(one.valid_from),
            "valid_to": one.valid_to and DateTime.from_native(one.valid_to),
        }
        for one in reversed(relations)
    ]
    keys = [entity.key for entity in mentioned(extraction)]
    # A relation's ends are entities of the graph, so PostgreSQL's side must count them as well.
    assert content_hash(text, Extraction(tuple(mentioned(extraction)), tuple(relations))) == stored_hash(
        text, keys, rows
    )
    assert content_hash(text, extraction) == stored_hash(text, keys, rows)


def test_the_hash_sees_the_instant_not_the_zone() -> None:
    elsewhere = NOON.astimezone(timezone(timedelta(hours=9)))
    one, same = (Extraction((), (Relation("a", "p", "b", time),)) for time in (NOON, elsewhere))
    assert content_hash("t", one) == content_hash("t", same)


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
