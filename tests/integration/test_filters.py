"""Filters in SQL hold exactly where the same filters hold in Python."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql
from psycopg.types.json import Jsonb

from memsys_api.filters import AllOf, AnyOf, Comparison, Expression, Not
from memsys_api.store.filters import conditions

from .conftest import Dsn, Replica

_STRINGS = st.text("aAbB'\\%_ é茶", max_size=3)
_SCALARS = (
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([-1.5, 0.1, 2.0, 1e6]) | _STRINGS
)  # few values, so that they meet
_FIELDS = st.sampled_from(["a", "b", "quo'te", 'a"b', ""])
_MOMENTS = st.integers(0, 4).map(lambda day: datetime(2026, 5, 1 + day, tzinfo=UTC))
_IDS = st.none() | st.sampled_from(["u", "v", "Uv"])

_ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "user_id": _IDS,
            "agent_id": _IDS,
            "app_id": _IDS,
            "run_id": _IDS,
            "metadata": st.dictionaries(_FIELDS, _SCALARS | st.lists(_SCALARS, max_size=2), max_size=3),
            "created_at": _MOMENTS,
            "recorded_from": _MOMENTS,
        }
    ),
    min_size=1,
    max_size=6,
)

_id_fields = st.sampled_from(["user_id", "agent_id", "app_id", "run_id"])
_orderings = st.sampled_from(["gt", "gte", "lt", "lte"])
_NUMBERS = st.integers(-3, 3) | st.sampled_from([-1.5, 0.1, 2.0])
_COMPARISONS = st.one_of(
    st.builds(Comparison, st.just("id"), _id_fields, st.sampled_from(["eq", "contains"]), st.sampled_from(["u", "v"])),
    st.builds(Comparison, st.just("id"), _id_fields, st.just("icontains"), st.sampled_from(["u", "V"])),
    st.builds(Comparison, st.just("id"), _id_fields, st.just("in"), st.just(("u", "Uv"))),
    st.builds(Comparison, st.just("id"), _id_fields, st.just("exists")),
    st.builds(
        Comparison, st.just("time"), st.sampled_from(["created_at", "updated_at"]), _orderings | st.just("eq"), _MOMENTS
    ),
    st.builds(Comparison, st.just("memory"), st.just("id"), st.just("in"), st.just((UUID(int=0), UUID(int=2)))),
    st.builds(Comparison, st.just("metadata"), _FIELDS, st.sampled_from(["eq", "contains"]), _SCALARS),
    st.builds(Comparison, st.just("metadata"), _FIELDS, st.just("icontains"), st.text("aAbB%", max_size=2)),
    st.builds(Comparison, st.just("metadata"), _FIELDS, _orderings, _NUMBERS | _STRINGS),
    st.builds(Comparison, st.just("metadata"), _FIELDS, st.just("in"), st.lists(_SCALARS, min_size=1).map(tuple)),
    st.builds(Comparison, st.just("metadata"), _FIELDS, st.just("exists")),
)
_EXPRESSIONS = st.recursive(
    _COMPARISONS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: AllOf(tuple(parts))),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: AnyOf(tuple(parts))),
        inner.map(Not),
    ),
    max_leaves=6,
)


def _same(held: Any, wanted: Any) -> bool:
    """Equality as JSON has it: a boolean is no number."""
    return isinstance(held, bool) == isinstance(wanted, bool) and held == wanted


def _compares(held: Any, comparison: Comparison) -> bool:
    wanted: Any = comparison.value
    match comparison.operator:
        case "exists":
            return held is not None
        case "eq":
            return _same(held, wanted)
        case "in":
            return any(_same(held, one) for one in wanted)
        case "contains":
            if isinstance(held, list):
                return any(_same(one, wanted) for one in held)
            return isinstance(held, str) and isinstance(wanted, str) and wanted in held
        case "icontains":
            return isinstance(held, str) and wanted.lower() in held.lower()
        case ordering:
            if any(isinstance(one, bool) or one is None or isinstance(one, list) for one in (held, wanted)):
                return False
            if isinstance(held, str) != isinstance(wanted, str):
                return False
            return bool(getattr(operator, {"gte": "ge", "lte": "le"}.get(ordering, ordering))(held, wanted))


_ABSENT = object()


def _holds(expression: Expression, row: dict[str, Any]) -> bool:
    match expression:
        case AllOf(parts):
            return all(_holds(part, row) for part in parts)
        case AnyOf(parts):
            return any(_holds(part, row) for part in parts)
        case Not(part):
            return not _holds(part, row)
        case Comparison(place="metadata", field=field):
            held = row["metadata"].get(field, _ABSENT)
            return held is not _ABSENT and _compares(held, expression)
        case Comparison(field=field):
            return _compares(row[{"updated_at": "recorded_from"}.get(field, field)], expression)


@pytest.fixture
def connection(dsn: Dsn) -> Iterator[psycopg.Connection]:
    with psycopg.connect(dsn.app, autocommit=True) as opened:
        yield opened


@given(rows=_ROWS, expression=_EXPRESSIONS)
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_sql_and_python_agree(
    connection: psycopg.Connection, rows: list[dict[str, Any]], expression: Expression
) -> None:
    for number, row in enumerate(rows):
        row["id"] = UUID(int=number)
    [condition] = conditions(expression)
    stored = [{name: str(v) if name == "id" else v for name, v in row.items()} for row in rows]
    for row in stored:
        row.update({name: row[name].isoformat() for name in ("created_at", "recorded_from")})
    statement = sql.SQL(
        """SELECT m.id FROM jsonb_to_recordset(%(rows)s) AS m(id uuid, user_id text, agent_id text, app_id text,
               run_id text, metadata jsonb, created_at timestamptz, recorded_from timestamptz) WHERE {}"""
    ).format(condition.clause)
    found = connection.execute(statement, {"rows": Jsonb(stored), **condition.parameters}).fetchall()
    assert {row[0] for row in found} == {row["id"] for row in rows if _holds(expression, row)}


@pytest.mark.parametrize("comparison", [
    Comparison("metadata", "kind", "eq", "rare"),
    AllOf((Comparison("metadata", "kind", "eq", "rare"), Comparison("metadata", "n", "gt", 3))),
])  # fmt: skip
def test_equality_in_metadata_is_answered_by_its_index(dsn: Dsn, comparison: Expression) -> None:
    """Also as the serving role, behind row-level security."""
    with psycopg.connect(dsn.superuser, autocommit=True) as conn:
        conn.execute(
            """INSERT INTO memory_versions (project, id, version, state, seq, text, hash, metadata, event_time,
                   created_at, recorded_from, lexemes)
               SELECT 'p', gen_random_uuid(), 1, 'active', n, 't', 'h', jsonb_build_object('kind', 'k' || n, 'n', n),
                   now(), now(), now(), '' FROM generate_series(1, 20000) AS n"""
        )
        conn.execute("ANALYZE memory_versions")
    [condition] = conditions(comparison)
    with psycopg.connect(dsn.app) as conn:
        conn.execute("SELECT set_config('memsys.project', 'p', true)")
        plan = conn.execute(
            sql.SQL(
                "EXPLAIN SELECT m.id FROM memory_versions m WHERE m.project = 'p' AND m.recorded_to IS NULL AND {}"
            ).format(condition.clause),
            condition.parameters,
        ).fetchall()
    assert "memory_metadata" in "\n".join(line for (line,) in plan)


async def test_a_day_is_whole_however_it_is_written(api: Replica) -> None:
    [tea] = await api.add("Anna drinks tea", user_id="u")
    created = datetime.fromisoformat((await api.client.get(f"/memories/{tea['id']}")).json()["created_at"]).astimezone(
        UTC
    )
    for day in (f"{created:%Y-%m-%d}", f"{created:%Y%m%d}", f"{created:%G-W%V-%u}"):
        for within in ({"lte": day}, {"gte": day}, {"eq": day}):
            assert len(await api.search("tea", filters={"created_at": within})) == 1, within
        for outside in ({"lt": day}, {"gt": day}, {"ne": day}):
            assert await api.search("tea", filters={"created_at": outside}) == [], outside
    week = {"query": "tea", "filters": {"created_at": {"lte": f"{created:%G-W%V}"}}}
    refused = await api.client.post("/search", json=week)
    assert refused.status_code == 400
    assert "must be a time" in refused.text
