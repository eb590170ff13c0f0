"""Ten thousand memories behind a graph that is away for ten minutes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.support.comparison import apart
from tests.faults.support.outage import outage
from tests.faults.support.rig import rig

DRAIN_SECONDS = 120.0


@pytest.mark.timeout(3600)
async def test_ten_thousand_memories_drain_within_two_minutes(model: Path, tmp_path: Path) -> None:
    async with rig(model, tmp_path, replicas=1) as running:
        seen = await outage(running, 10_000, 600, DRAIN_SECONDS)
        print(f"\n{seen}")
        assert seen.away.failures + seen.draining.failures == []
        assert apart(running.superuser, running.neo4j) == []
