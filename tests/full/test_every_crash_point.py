"""Every server is lost at every step of a write, a delivery and a repair."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.support.crash_points import operator_killed_at_each_step, swept
from tests.faults.support.sweep import sweep


@pytest.mark.timeout(4 * 3600)
@pytest.mark.parametrize("target", ["the API", "PostgreSQL", "the connection"])
async def test_a_crash_at_any_step_leaves_both_stores_whole(target: str, tmp_path: Path) -> None:
    async with sweep(tmp_path) as running:
        wrong = await swept(running, target)
    assert not wrong, "\n".join(wrong)


@pytest.mark.timeout(4 * 3600)
async def test_a_crash_of_neo4j_at_any_step_that_reaches_it_leaves_both_stores_whole(tmp_path: Path) -> None:
    """It takes long to start: it is lost only where it takes part, and its connections elsewhere."""
    async with sweep(tmp_path) as running:
        wrong = await swept(running, "Neo4j", only="neo4j ")
    assert not wrong, "\n".join(wrong)


@pytest.mark.timeout(3600)
async def test_an_operator_killed_at_any_step_of_a_repair_is_followed_by_one_that_ends_it(tmp_path: Path) -> None:
    async with sweep(tmp_path) as running:
        wrong = await operator_killed_at_each_step(running)
    assert not wrong, "\n".join(wrong)
