"""A MemoryKey: from the resource to an agent that remembers with it, and to the end of both."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import httpx
import pytest
from fastmcp.exceptions import ToolError

from .conftest import Installation
from .support.kubectl import Kubectl, System
from .support.memory import add, search, session
from .support.waiting import eventually

PROJECT = "keyed"


@pytest.fixture
def key(kubectl: Kubectl, system: System) -> Iterator[str]:
    """The key that the operator keeps for a MemoryKey of one project."""
    resource = {
        "apiVersion": "memsys.dev/v1alpha1",
        "kind": "MemoryKey",
        "metadata": {"name": "agent"},
        "spec": {"systemRef": {"name": system.name}, "projects": [PROJECT], "rights": ["read", "write"]},
    }
    kubectl.apply(resource, namespace=system.namespace)
    kubectl("wait", "--for=condition=Ready", "memkey/agent", "--timeout=60s", namespace=system.namespace)
    yield system.secret("agent", "key")
    kubectl("delete", "memkey", "agent", "--ignore-not-found", namespace=system.namespace)


def test_a_declared_key_opens_its_project_and_no_other_until_it_is_deleted(
    installation: Installation, kubectl: Kubectl, system: System, key: str
) -> None:
    async def agent(project: str) -> str:
        async with session(installation.mcp_url, key, project) as client:
            stored = await add(client, "Ines waters the office plants on Fridays.")
            assert stored in [found["id"] for found in await search(client, "Who looks after the plants?")]
            return stored

    asyncio.run(agent(PROJECT))
    with pytest.raises(ToolError, match=r"(?i)project"):
        asyncio.run(agent("somebody-elses"))

    kubectl("delete", "memkey", "agent", namespace=system.namespace)

    def refused() -> bool:
        headers = {"Authorization": f"Bearer {key}"}
        return httpx.get(f"{installation.api_url}/memories", headers=headers, trust_env=False).status_code == 401

    eventually("the key refused", refused, within=90)
