"""The graph is away: writes go on, status says so, and all of it arrives after the return."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from .conftest import Installation
from .support.facts import FACTS, QUESTIONS
from .support.kubectl import System
from .support.memory import answers, graph_memories, remember
from .support.waiting import eventually


@contextmanager
def graph_away(system: System) -> Iterator[None]:
    """No node takes the graph's pod: what happens when its node fails and the others are full."""
    node = system.kubectl.get("nodes")["items"][0]["metadata"]["name"]
    system.kubectl("cordon", node)
    try:
        system.kubectl("delete", "pod", f"{system.name}-neo4j-0", "--wait=true", namespace=system.namespace)
        yield
    finally:
        system.kubectl("uncordon", node)


def test_writes_are_acknowledged_and_reach_the_graph_later(system: System, installation: Installation) -> None:
    project = f"outage-{uuid.uuid4().hex[:8]}"
    with graph_away(system):
        condition = system.wait_for("GraphReady", "False", within=60)
        assert condition["message"]
        stored = remember(installation.mcp_url, installation.key, project, FACTS[:20])
        assert len(set(stored)) == 20
        question = next(iter(QUESTIONS))
        assert answers(installation.mcp_url, installation.key, project, [question])[question][0] == FACTS[4]
        system.wait_for("GraphSynced", "False", within=60)
        eventually("unsynced records in status", lambda: waiting_records(system) >= 1, within=60)

    system.wait_for("GraphReady", "True", within=240)
    system.wait_for("GraphSynced", "True", within=180)
    assert set(graph_memories(system, project)) == set(stored)


def waiting_records(system: System) -> int:
    sync = system.document()["status"]["sync"]
    return int(sync["pending"]) + int(sync["parked"])
