"""Every server is lost at every step of a write, a delivery and a repair."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.support.crash_points import every_step, of_the_graph, operator_killed_at_each_step, swept
from tests.faults.support.sweep import sweep
from tests.faults.support.tap import Step


@pytest.mark.timeout(4 * 3600)
@pytest.mark.parametrize(
    ("target", "wanted", "fewest"),
    [
        ("the API", every_step, 200),
        ("PostgreSQL", every_step, 200),
        ("the connection", every_step, 200),
        # It takes long to start: it is lost only where it takes part, and its connections elsewhere.
        ("Neo4j", of_the_graph, 60),
    ],
)
async def test_a_crash_at_any_step_leaves_both_stores_whole(
    target: str, wanted: Callable[[Step], bool], fewest: int, tmp_path: Path
) -> None:
    """``fewest`` steps are known to be there in all operations together; fewer would mean that the sweep is deaf."""
    async with sweep(tmp_path) as running:
        steps, wrong = await swept(running, target, wanted)
    assert not wrong, "\n".join(wrong)
    assert steps >= fewest


@pytest.mark.timeout(3600)
async def test_an_operator_killed_at_any_step_of_a_repair_is_followed_by_one_that_ends_it(tmp_path: Path) -> None:
    async with sweep(tmp_path) as running:
        wrong = await operator_killed_at_each_step(running)
    assert not wrong, "\n".join(wrong)
