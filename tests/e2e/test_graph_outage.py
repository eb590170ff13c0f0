"""The graph is away: writes go on, status says so, and all of it arrives after the return."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from .conftest import Installation
from .support.facts import FACTS, QUESTIONS
from .support.kubectl import System
from .support.memory import answers, graph_memories, remember
from .support.waiting import eventually


@pytest.fixture
def graph_away(system: System) -> Iterator[None]:
    """No node takes the graph's pod: the way it happens when a node fails and the others are full."""
    node = system.kubectl.get("nodes")["items"][0]["metadata"]["name"]
    system.kubectl("cordon", node)
    try:
        system.kubectl("delete", "pod", f"{system.name}-neo4j-0", "--wait=true", namespace=system.namespace)
        yield
    finally:
        system.kubectl("uncordon", node)


def test_writes_are_acknowledged_and_reach_the_graph_later(
    system: System, installation: Installation, request: pytest.FixtureRequest
) -> None:
    project = f"outage-{uuid.uuid4().hex[:8]}"
    node = system.kubectl.get("nodes")["items"][0]["metadata"]["name"]
    request.getfixturevalue("graph_away")

    condition = system.wait_for("GraphReady", "False", within=60)
    assert condition["message"]
    stored = remember(installation.mcp_url, installation.key, project, FACTS[:20])
    assert len(set(stored)) == 20
    question = next(iter(QUESTIONS))
    assert answers(installation.mcp_url, installation.key, project, [question])[question][0] == FACTS[4]
    system.wait_for("GraphSynced", "False", within=60)
    sync = eventually("pending records in status", lambda: system.document()["status"]["sync"]["pending"], within=60)
    assert sync >= 1

    system.kubectl("uncordon", node)
    system.wait_for("GraphReady", "True", within=240)
    system.wait_for("GraphSynced", "True", within=180)
    assert set(graph_memories(system, project)) == set(stored)
