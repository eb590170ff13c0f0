"""How searches fare while the graph is away and while it catches up: ``python -m bench.outage``, as root.

Runs the API, PostgreSQL and Neo4j as the fault tests do, each in a network namespace of its own on this machine.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
from pathlib import Path

from tests.faults.support.outage import Outage, outage
from tests.faults.support.rig import rig

DRAIN_SECONDS = 600.0


async def _measure(model: Path, memories: int, seconds: float) -> Outage:
    with tempfile.TemporaryDirectory(prefix="memsys-outage-") as logs:
        async with rig(model, Path(logs), replicas=1) as running:
            return await outage(running, memories, seconds, DRAIN_SECONDS)


def main() -> None:
    """Measure and print."""
    cache = Path(os.environ.get("MEMSYS_CACHE") or Path.home() / ".cache" / "memsys")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--memories", type=int, default=1000, help="written before, and again while the graph is away")
    parser.add_argument("--seconds", type=float, default=90, help="how long the graph is away at least")
    parser.add_argument("--model", type=Path, default=cache / "models" / "all-MiniLM-L6-v2", help="the built-in model")
    chosen = parser.parse_args()
    print(asyncio.run(_measure(chosen.model, chosen.memories, chosen.seconds)))


if __name__ == "__main__":
    main()
