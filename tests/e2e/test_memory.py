"""Memories go in through MCP, come back by meaning, reach the graph, and outlive every pod."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from .conftest import Installation
from .support.facts import FACTS, QUESTIONS
from .support.kubectl import System
from .support.memory import answers, graph_memories, remember, search, session
from .support.waiting import eventually


@pytest.fixture(scope="module")
def project() -> str:
    return f"facts-{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="module")
def fifty(installation: Installation, project: str) -> dict[str, str]:
    """The facts, remembered once for this module: id by text."""
    return dict(zip(FACTS, remember(installation.mcp_url, installation.key, project, FACTS), strict=True))


def test_fifty_memories_are_recalled_by_meaning(
    system: System, installation: Installation, project: str, fifty: dict[str, str]
) -> None:
    recalled = answers(installation.mcp_url, installation.key, project, list(QUESTIONS))
    missed = {q: recalled[q] for q, fact in QUESTIONS.items() if FACTS[fact] not in recalled[q][:3]}
    assert not missed


def test_sse_answers_as_http_does(
    system: System, installation: Installation, project: str, fifty: dict[str, str]
) -> None:
    async def over_sse(question: str) -> list[str]:
        async with session(installation.mcp_url, installation.key, project, sse=True) as client:
            return [result["memory"] for result in await search(client, question)]

    question = next(iter(QUESTIONS))
    over_http = answers(installation.mcp_url, installation.key, project, [question])[question]
    assert asyncio.run(over_sse(question)) == over_http


def test_fifty_memories_are_in_the_graph(system: System, project: str, fifty: dict[str, str]) -> None:
    def complete() -> dict[str, set[str]] | None:
        found = graph_memories(system, project)
        assert set(found) == set(fifty.values())
        return found

    found = eventually("fifty memories in Neo4j", complete, within=60)
    assert "Amara Okafor" in found[fifty[FACTS[0]]]


def test_every_pod_deleted_at_once_same_answers(
    system: System, installation: Installation, project: str, fifty: dict[str, str]
) -> None:
    before = answers(installation.mcp_url, installation.key, project, list(QUESTIONS))
    old = system.pods()
    system.kubectl("delete", "pods", "--selector", system.selector, "--wait=true", namespace=system.namespace)

    def replaced() -> bool:
        now = system.pods()
        return len(now) == len(old) and not set(now.values()) & set(old.values())

    eventually("every pod replaced", replaced, within=120)
    system.wait_ready()
    assert answers(installation.mcp_url, installation.key, project, list(QUESTIONS)) == before
    assert set(graph_memories(system, project)) == set(fifty.values())
