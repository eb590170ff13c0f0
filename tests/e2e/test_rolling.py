"""Replacing and removing replicas of the API while clients use it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from .conftest import Installation
from .support.kubectl import Kubectl, System
from .support.traffic import Traffic
from .support.waiting import eventually

PROJECT = "rolling"
SELECTOR = "app.kubernetes.io/component=api"


@pytest.fixture
def scaled(kubectl: Kubectl, system: System, sample: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The sample, asking for two replicas of the API, both of which serve. Applied as it was afterwards."""
    asked = copy.deepcopy(sample)
    asked.setdefault("spec", {})["api"] = {"replicas": 2}
    kubectl.apply(asked, namespace=system.namespace)
    system.wait_ready()
    settled(kubectl, system, 2)
    yield asked
    kubectl.apply(sample, namespace=system.namespace)


def settled(kubectl: Kubectl, system: System, replicas: int) -> None:
    """Wait until the newest template runs in exactly so many pods and every other has ended."""
    kubectl("rollout", "status", f"deployment/{system.name}-api", "--timeout=180s", namespace=system.namespace)
    chosen = f"{system.selector},{SELECTOR}"
    eventually(
        f"{replicas} pods of the API and none that is ending",
        lambda: len(kubectl.names("pods", namespace=system.namespace, selector=chosen)) == replicas,
        within=90,
    )


def held(api: httpx.Client) -> list[str]:
    """The ids of all memories of the project, page by page."""
    found: list[str] = []
    cursor: str | None = None
    while True:
        page = {"user_id": "roller", "limit": 100} | ({"cursor": cursor} if cursor else {})
        body = api.get("/memories", params=page).raise_for_status().json()
        found += [memory["id"] for memory in body["results"]]
        cursor = body.get("next_cursor")
        if cursor is None:
            return found


def test_no_request_is_dropped_while_replicas_are_replaced_and_removed(
    installation: Installation, kubectl: Kubectl, system: System, scaled: dict[str, Any]
) -> None:
    headers = {"Authorization": f"Bearer {installation.key}", "X-Memsys-Project": PROJECT}
    traffic = Traffic(installation.api_url, headers)
    with httpx.Client(base_url=installation.api_url, headers=headers, timeout=30, trust_env=False) as api:
        before = set(held(api))
        with traffic.flowing():
            old = set(kubectl.names("pods", namespace=system.namespace, selector=f"{system.selector},{SELECTOR}"))
            kubectl("rollout", "restart", f"deployment/{system.name}-api", namespace=system.namespace)
            settled(kubectl, system, 2)
            new = set(kubectl.names("pods", namespace=system.namespace, selector=f"{system.selector},{SELECTOR}"))
            assert not old & new, "the restart has replaced every pod"
            replaced = traffic.answered
            scaled["spec"]["api"]["replicas"] = 1
            kubectl.apply(scaled, namespace=system.namespace)
            eventually(
                "the Deployment scaled to 1",
                lambda: (
                    kubectl.get("deployment", f"{system.name}-api", namespace=system.namespace)["spec"]["replicas"] == 1
                ),
                within=30,
            )
            settled(kubectl, system, 1)
        assert traffic.failures == []
        assert replaced >= 100, "traffic flowed while pods were replaced"
        assert traffic.answered >= replaced + 20, "and while one was removed"
        assert sorted(held(api)) == sorted(before | set(traffic.stored)), "what was acknowledged is there, once"
