"""What the README promises: two commands, a demo, and the exports that reach the system."""

from __future__ import annotations

import httpx

from .conftest import Installation
from .support.kubectl import Kubectl, System


def test_up_shows_conditions_and_ends_ready(installation: Installation) -> None:
    assert "PostgresReady" in installation.up_output
    assert "memsys is up" in installation.up_output


def test_up_again_changes_nothing(installation: Installation, system: System) -> None:
    before = system.pods()
    installation.make("up")
    assert system.pods() == before


def test_env_reaches_the_system(installation: Installation, kubectl: Kubectl) -> None:
    assert httpx.get(f"{installation.api_url}/readyz").status_code == 200
    assert httpx.get(f"{installation.mcp_url}/readyz").status_code == 200
    authorised = httpx.get(f"{installation.api_url}/info", headers={"Authorization": f"Bearer {installation.key}"})
    assert authorised.json()["embedder"]["dimensions"] == 384
    assert "memsys" in kubectl("api-resources", "--api-group", "memsys.dev")


def test_nothing_answers_without_a_key(installation: Installation) -> None:
    assert httpx.get(f"{installation.api_url}/memories").status_code == 401
    assert httpx.post(f"{installation.mcp_url}/mcp", json={}).status_code == 401


def test_demo_recalls_from_vectors_and_graph(installation: Installation, system: System) -> None:
    printed = installation.make("demo")
    assert "vector" in printed
    assert "graph" in printed
    assert "greyhound" in printed
    assert f"claude mcp add --transport http memsys {installation.mcp_url}" in printed


def test_demo_again_pushes_nothing_twice(installation: Installation, system: System) -> None:
    installation.make("demo")
    assert "24 already remembered" in installation.make("demo")
