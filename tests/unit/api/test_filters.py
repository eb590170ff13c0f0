"""Reading a request's filters."""

from __future__ import annotations

from typing import Any

import pytest

from memsys_api.filters import Equals, Filters, parse
from memsys_api.problems import ProblemError


def test_ids_narrow_the_scope_and_everything_else_is_metadata() -> None:
    assert parse({"user_id": "u", "kind": "drink", "hot": True, "cups": 2, "note": None}) == Filters(
        {"user_id": "u"}, (Equals("kind", "drink"), Equals("hot", True), Equals("cups", 2), Equals("note", None))
    )


@pytest.mark.parametrize("raw", [None, {}])
def test_no_filter_filters_nothing(raw: dict[str, Any] | None) -> None:
    assert parse(raw) == Filters({}, ())


@pytest.mark.parametrize(("raw", "field"), [
    ({"user_id": ""}, "filters.user_id"),
    ({"run_id": ["r"]}, "filters.run_id"),
    ({"AND": []}, "filters.AND"),
    ({"n": {"gt": 1}}, "filters.n"),
    ({"n": [1]}, "filters.n"),
    ({f"f{n}": n for n in range(51)}, "filters"),
])  # fmt: skip
def test_what_is_not_understood_is_refused_by_name_and_never_ignored(raw: dict[str, Any], field: str) -> None:
    with pytest.raises(ProblemError) as refused:
        parse(raw)
    assert [e.field for e in refused.value.errors] == [field]
