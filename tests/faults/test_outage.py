"""A graph that is away for longer than deliveries are tried: searches go on, and it catches up by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from .support.comparison import apart
from .support.outage import GIVE_UP_SECONDS, outage
from .support.rig import rig

DRAIN_SECONDS = 120.0


@pytest.mark.timeout(480)
async def test_what_was_parked_is_delivered_when_the_graph_is_back(model: Path, tmp_path: Path) -> None:
    async with rig(model, tmp_path, replicas=1) as running:
        seen = await outage(running, 1000, GIVE_UP_SECONDS, DRAIN_SECONDS)
        print(f"\n{seen}")
        assert seen.away.failures + seen.draining.failures == []
        assert apart(running.superuser, running.neo4j) == []
