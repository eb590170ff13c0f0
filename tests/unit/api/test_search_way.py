"""Where the indexes become the shorter way."""

from __future__ import annotations

import pytest

from memsys_api.flows.search_way import worth_indexes


@pytest.mark.parametrize(("project", "least"), [(5_001, 5_000), (100_000, 5_000), (1_000_000, 9_798), (10**8, 97_980)])
def test_a_scope_of_a_large_project_must_be_large_itself(project: int, least: int) -> None:
    assert worth_indexes(project, exact_rows=5_000) == pytest.approx(least, abs=1)


def test_a_whole_project_is_worth_its_index_from_the_setting_on() -> None:
    assert all(rows > worth_indexes(rows, exact_rows=5_000) for rows in range(5_001, 10**6, 9_973))
