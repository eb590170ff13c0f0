"""Servers are lost at steps of a write, a delivery and a repair: at a part of them here, at every one in tests/full."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from .support.crash_points import one_in, operator_killed_at_each_step, swept
from .support.sweep import sweep

SHARES = {"the API": 25, "PostgreSQL": 30, "the connection": 20}
"""Of so many steps one is gone through."""
SECONDS = 50.0
"""After which no further step is looked for, per target; at least one of each operation is gone through."""
OPERATOR_SHARE = 3


@pytest.mark.timeout(600)
async def test_a_crash_at_any_step_leaves_both_stores_whole(seed: int, tmp_path: Path) -> None:
    print(f"\nMEMSYS_FAULTS_SEED={seed}")
    steps, wrong = 0, []
    async with sweep(tmp_path) as running:
        for target, share in SHARES.items():
            crashed, found = await swept(running, target, one_in(share, f"{seed}/{target}"), whole=1, seconds=SECONDS)
            steps, wrong = steps + crashed, wrong + found
        first = random.Random(seed).randrange(OPERATOR_SHARE)
        wrong += await operator_killed_at_each_step(running, first, OPERATOR_SHARE)
    assert steps, "no step was gone through"
    assert not wrong, "\n".join(wrong)
