"""Reading a request's filters."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memsys_api.filters import OPERATORS, AllOf, AnyOf, Comparison, Filters, Not, parse, read_time
from memsys_api.problems import ProblemError


def _metadata(field: str, value: Any, operator: Any = "eq") -> Comparison:
    return Comparison("metadata", field, operator, value)


def test_ids_narrow_the_scope_and_everything_else_is_metadata() -> None:
    assert parse({"user_id": "u", "kind": "drink", "hot": True, "cups": 2, "note": None}) == Filters(
        {"user_id": "u"},
        AllOf((_metadata("kind", "drink"), _metadata("hot", True), _metadata("cups", 2), _metadata("note", None))),
    )


@pytest.mark.parametrize("raw", [None, {}])
def test_no_filter_filters_nothing(raw: dict[str, Any] | None) -> None:
    assert parse(raw) == Filters({})


def test_ids_that_must_hold_narrow_the_scope_at_whatever_depth() -> None:
    raw = {"AND": [{"user_id": "u"}, {"AND": [{"run_id": {"eq": "r"}}, {"kind": "drink"}]}]}
    assert parse(raw) == Filters({"user_id": "u", "run_id": "r"}, _metadata("kind", "drink"))


def test_ids_that_need_not_hold_do_not_narrow_the_scope() -> None:
    either = AnyOf((Comparison("id", "user_id", "eq", "u"), Comparison("id", "agent_id", "eq", "a")))
    assert parse({"OR": [{"user_id": "u"}, {"agent_id": "a"}]}) == Filters({}, either)
    assert parse({"NOT": {"user_id": "u"}}) == Filters({}, Not(Comparison("id", "user_id", "eq", "u")))
    assert parse({"user_id": {"ne": "u"}}) == Filters({}, Not(Comparison("id", "user_id", "eq", "u")))
    assert parse({"user_id": "*"}) == Filters({}, Comparison("id", "user_id", "exists"))


def test_two_values_of_one_id_are_both_asked_for() -> None:
    assert parse({"AND": [{"user_id": "u"}, {"user_id": "v"}]}) == Filters(
        {"user_id": "u"}, Comparison("id", "user_id", "eq", "v")
    )


def test_none_of_the_filters_in_a_not_may_hold() -> None:
    assert parse({"NOT": [{"a": 1}, {"b": 2}]}).rest == Not(AnyOf((_metadata("a", 1), _metadata("b", 2))))


def test_operators_of_one_field_must_all_hold() -> None:
    assert parse({"n": {"gte": 1, "lt": 5, "nin": [2, 3]}}).rest == AllOf(
        (_metadata("n", 1, "gte"), _metadata("n", 5, "lt"), Not(_metadata("n", (2, 3), "in")))
    )


def test_metadata_can_be_named_as_such() -> None:
    assert parse({"metadata": {"user_id": "u", "n": {"gt": 1}}}) == Filters(
        {}, AllOf((_metadata("user_id", "u"), _metadata("n", 1, "gt")))
    )


@pytest.mark.parametrize("day", ["2026-05-01", "20260501", "2026-W18-5", "2026W185"])
def test_a_day_is_all_of_its_hours(day: str) -> None:
    begin, end = datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 5, 2, tzinfo=UTC)
    expected = {"gt": ("gte", end), "gte": ("gte", begin), "lt": ("lt", begin), "lte": ("lt", end)}
    for asked, (operator, moment) in expected.items():
        held = parse({"created_at": {asked: day}}).rest
        assert held == Comparison("time", "created_at", operator, moment), asked  # type: ignore[arg-type]
    assert read_time(day, "end_date") == (begin, end)


@pytest.mark.parametrize("value", ["2026-W18", "2026W18", "2026-W18T12:00", "2026-05", "2026", "2026-05-01+02:00"])
def test_what_names_no_day_and_no_moment_is_refused(value: str) -> None:
    with pytest.raises(ProblemError) as refused:
        parse({"created_at": {"lte": value}})
    assert [error.field for error in refused.value.errors] == ["filters.created_at"]


@given(st.dates(date(2, 1, 2), date(9998, 12, 30)))
def test_a_day_is_the_same_however_it_is_written(day: date) -> None:
    year, week, weekday = day.isocalendar()
    extended = day.isoformat(), f"{year:04}-W{week:02}-{weekday}"
    forms = {*extended, *(form.replace("-", "") for form in extended)}
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
    assert {read_time(form, "end_date") for form in forms} == {(begin, begin + timedelta(days=1))}


@pytest.mark.parametrize(
    "moment",
    [
        "2026-05-01T12:00:00Z",
        "2026-05-01T12:00:00",
        "2026-05-01T14:00:00+02:00",
        "2026-05-01 12:00:00+00:00",
        "2026-05-01t12",
        "20260501T120000Z",
        "2026-W18-5T12:00",
        1777636800,
    ],
)
def test_a_moment_is_read_in_every_form(moment: str | int) -> None:
    expected = Comparison("time", "updated_at", "gt", datetime(2026, 5, 1, 12, tzinfo=UTC))
    assert parse({"updated_at": {"gt": moment}}).rest == expected


def test_memories_are_named_by_their_ids() -> None:
    one = UUID(int=1)
    for given_as in ([str(one)], {"in": [str(one)]}):
        assert parse({"memory_ids": given_as}).rest == Comparison("memory", "id", "in", (one,))


@pytest.mark.parametrize(("raw", "field"), [
    ({"user_id": ""}, "filters.user_id"),
    ({"user_id": None}, "filters.user_id"),
    ({"run_id": ["r"]}, "filters.run_id"),
    ({"run_id": {"gt": "r"}}, "filters.run_id.gt"),
    ({"run_id": {"in": []}}, "filters.run_id.in"),
    ({"run_id": {"in": ["r", 5]}}, "filters.run_id"),
    ({"AND": []}, "filters.AND"),
    ({"OR": {"n": 1}}, "filters.OR"),
    ({"OR": [{"n": 1}, {}]}, "filters.OR.1"),
    ({"NOT": {}}, "filters.NOT.0"),
    ({"AND": [{"OR": [{"user_id": 5}]}]}, "filters.AND.0.OR.0.user_id"),
    ({"n": {"$gt": 1}}, "filters.n.$gt"),
    ({"n": {"gt": None}}, "filters.n.gt"),
    ({"n": {}}, "filters.n"),
    ({"n": {"eq": {"deep": 1}}}, "filters.n"),
    ({"n": [1]}, "filters.n"),
    ({"or": [{"n": 1}]}, "filters.or"),
    ({"metadata": {}}, "filters.metadata"),
    ({"metadata": {"n": {"icontains": 1}}}, "filters.metadata.n.icontains"),
    ({"created_at": "yesterday"}, "filters.created_at"),
    ({"created_at": {"lte": True}}, "filters.created_at"),
    ({"created_at": {"gt": "9999-12-31"}}, "filters.created_at"),
    ({"created_at": {"contains": "2026"}}, "filters.created_at.contains"),
    ({"memory_ids": ["1"]}, "filters.memory_ids"),
    ({"memory_ids": "1"}, "filters.memory_ids"),
    ({"categories": {"in": ["food"]}}, "filters.categories"),
    ({"keywords": {"contains": "x"}}, "filters.keywords"),
    ({"userId": "u"}, "filters.userId"),
    ({"n": {"in": list(range(201))}}, "filters.n"),
])  # fmt: skip
def test_what_is_not_understood_is_refused_by_name_and_never_ignored(raw: dict[str, Any], field: str) -> None:
    with pytest.raises(ProblemError) as refused:
        parse(raw)
    assert [e.field for e in refused.value.errors] == [field]


def test_filters_end_somewhere() -> None:
    deep: dict[str, Any] = {"n": 1}
    for _ in range(12):
        deep = {"AND": [deep]}
    with pytest.raises(ProblemError):
        parse(deep)


_WORDS = st.sampled_from(["AND", "OR", "NOT", "user_id", "created_at", "metadata", "memory_ids", "n", *OPERATORS])
_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_WORDS | st.text(), inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(_WORDS | st.text(), _ANYTHING, max_size=4))
def test_anything_is_read_or_refused(raw: dict[str, Any]) -> None:
    with suppress(ProblemError):
        filters = parse(raw)
        assert bool(filters.ids or filters.rest) == bool(raw)
