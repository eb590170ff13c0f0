"""The search statement: scope in every part that reads, parameters never in the text."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import product

import pytest
from psycopg import sql

from memsys_api.model import Scope
from memsys_api.store.candidates import POOL, Way, build
from memsys_api.store.generations import Generation
from memsys_api.store.rows import Condition

GENERATION = Generation(3, "p", "m", 384, "halfvec")
NASTY = "o'neil\"; DROP TABLE x; --%s {}"
FILTERS = [Condition(sql.SQL("m.metadata @> %(metadata_filter)s"), {"metadata_filter": "{}"})]


@pytest.mark.parametrize(
    ("way", "filters", "as_of"),
    list(product(["scan", "filtered", "indexes"], [[], FILTERS], [None, datetime(2024, 1, 1, tzinfo=UTC)])),
)
def test_every_reading_of_a_table_names_the_project(way: Way, filters: list[Condition], as_of: datetime | None) -> None:
    scope = Scope("default", user_id=NASTY, run_id="r")
    statement = build(GENERATION, scope, reach=2, way=way, filters=filters, as_of=as_of)
    text = statement.text.decode()
    assert NASTY not in text
    assert statement.parameters["user_id"] == NASTY
    assert "embeddings_3" in text
    tables = ("memory_versions", '"embeddings_3"')
    reads = sum(text.count(f"{verb} {table}") for verb in ("FROM", "JOIN") for table in tables)
    joined_by_key = 1 if filters and way == "indexes" else 0  # the versions of the nearest vectors, on all of their key
    assert text.count("project = %(project)s") + text.count('"project" = %(project)s') >= reads - joined_by_key
    assert text.count("%(") == text.count(")s"), "a placeholder is broken"


def test_a_project_s_name_is_quoted_where_it_must_stand_in_the_text() -> None:
    statement = build(GENERATION, Scope("it's"), reach=2, way="indexes")
    assert b"'it''s'" in statement.text


@pytest.mark.parametrize(("precision", "dimensions", "indexable"), [
    ("halfvec", 4000, True), ("halfvec", 4001, False), ("float32", 2000, True), ("float32", 2001, False),
])  # fmt: skip
def test_which_vectors_can_have_an_approximate_index(precision: str, dimensions: int, indexable: bool) -> None:
    assert Generation(1, "p", "m", dimensions, precision).indexable is indexable


def test_searches_share_a_text_whatever_they_look_for_and_few_texts_serve_any_number_of_answers() -> None:
    def text(scope: Scope, wanted: int = 10) -> bytes:
        return build(GENERATION, scope, reach=2, way="scan", wanted=wanted).text

    assert text(Scope("one", user_id="a")) == text(Scope("two", user_id="b"))
    assert text(Scope("one", user_id="a")) != text(Scope("one", agent_id="a")) != text(Scope("one"))
    assert len({text(Scope("one"), wanted) for wanted in range(1, 101)}) == 4
    assert f"LIMIT {POOL}".encode() in text(Scope("one"), POOL)
    assert f"LIMIT {2 * POOL}".encode() in text(Scope("one"), POOL + 1)
