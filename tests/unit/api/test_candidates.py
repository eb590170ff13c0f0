"""The search statement: scope in every part that reads, parameters never in the text."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import product

import pytest
from psycopg import sql

from memsys_api.model import Scope
from memsys_api.store.candidates import build
from memsys_api.store.generations import Generation
from memsys_api.store.rows import Condition

GENERATION = Generation(3, "p", "m", 384, "halfvec")
NASTY = "o'neil\"; DROP TABLE x; --%s {}"
FILTERS = [Condition(sql.SQL("m.metadata @> %(metadata_filter)s"), {"metadata_filter": "{}"})]


@pytest.mark.parametrize(
    ("approximate", "filters", "as_of"), product([False, True], [[], FILTERS], [None, datetime(2024, 1, 1, tzinfo=UTC)])
)
def test_every_reading_of_a_table_names_the_project(
    approximate: bool, filters: list[Condition], as_of: datetime | None
) -> None:
    scope = Scope("default", user_id=NASTY, run_id="r")
    statement, parameters = build(GENERATION, scope, reach=2, approximate=approximate, filters=filters, as_of=as_of)
    text = statement.as_string()
    assert NASTY not in text
    assert parameters["user_id"] == NASTY
    assert "embeddings_3" in text
    tables = ("memory_versions", '"embeddings_3"')
    reads = sum(text.count(f"{verb} {table}") for verb in ("FROM", "JOIN") for table in tables)
    joined_by_key = 1 if filters or as_of else 0  # the versions of the nearest vectors, on all of their key
    assert text.count("project = %(project)s") + text.count('"project" = %(project)s') >= reads - joined_by_key
    assert text.count("%(") == text.count(")s"), "a placeholder is broken"


def test_a_project_s_name_is_quoted_where_it_must_stand_in_the_text() -> None:
    statement, _ = build(GENERATION, Scope("it's"), reach=2, approximate=True)
    assert "'it''s'" in statement.as_string()


@pytest.mark.parametrize(("precision", "dimensions", "indexable"), [
    ("halfvec", 4000, True), ("halfvec", 4001, False), ("float32", 2000, True), ("float32", 2001, False),
])  # fmt: skip
def test_which_vectors_can_have_an_approximate_index(precision: str, dimensions: int, indexable: bool) -> None:
    assert Generation(1, "p", "m", dimensions, precision).indexable is indexable
