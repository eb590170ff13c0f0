"""Servers are lost at steps of a write, a delivery and a repair: at a part of them here, at every one in tests/full."""

from __future__ import annotations

from pathlib import Path

import pytest

from .support.crash_points import operator_killed_at_each_step, swept
from .support.sweep import sweep

EVERY = {"the API": 131, "PostgreSQL": 137, "the connection": 139}


@pytest.mark.timeout(600)
async def test_a_crash_at_any_step_leaves_both_stores_whole(tmp_path: Path) -> None:
    async with sweep(tmp_path) as running:
        wrong = [found for target, every in EVERY.items() for found in await swept(running, target, every)]
        wrong += await operator_killed_at_each_step(running)
    assert not wrong, "\n".join(wrong)
