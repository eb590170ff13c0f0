"""Deleting a system keeps what its policy keeps; the same name takes it up again; a lost Secret costs no data."""

from __future__ import annotations

import copy
import json
import uuid
from typing import Any

from .conftest import Installation
from .support.facts import FACTS, QUESTIONS
from .support.kubectl import Kubectl, System
from .support.memory import answers, graph_memories, remember
from .support.waiting import eventually

OWNED_KINDS = "statefulsets,deployments,services,pods,configmaps,serviceaccounts,networkpolicies,poddisruptionbudgets"


def wait_until_gone(system: System) -> None:
    def nothing_left() -> bool:
        left = system.kubectl.get(OWNED_KINDS, "--selector", system.selector, namespace=system.namespace)["items"]
        assert not left, [f"{item['kind']}/{item['metadata']['name']}" for item in left]
        return True

    eventually(f"everything of {system.name} gone", nothing_left, within=120)


def test_a_deleted_child_comes_back(system: System) -> None:
    service = f"{system.name}-api"
    before = system.kubectl.get("service", service, namespace=system.namespace)["metadata"]["uid"]
    system.kubectl("delete", "deployment", f"{system.name}-mcp", namespace=system.namespace)
    eventually(
        "the MCP Deployment back",
        lambda: f"{system.name}-mcp" in system.kubectl.names("deployments", namespace=system.namespace),
        within=30,
    )
    assert system.kubectl.get("service", service, namespace=system.namespace)["metadata"]["uid"] == before
    system.wait_ready()


def test_a_recreated_system_has_all_its_memories(
    system: System, installation: Installation, sample: dict[str, Any]
) -> None:
    project = f"kept-{uuid.uuid4().hex[:8]}"
    stored = remember(installation.mcp_url, installation.key, project, FACTS)
    questions = list(QUESTIONS)
    before = answers(installation.mcp_url, installation.key, project, questions)
    eventually("fifty memories in Neo4j", lambda: set(graph_memories(system, project)) == set(stored), within=60)

    system.kubectl("delete", "memsys", system.name, "--wait=true", namespace=system.namespace)
    wait_until_gone(system)
    volumes = system.kubectl.names("persistentvolumeclaims", namespace=system.namespace)
    assert {f"data-{system.name}-postgres-0", f"data-{system.name}-neo4j-0"} <= volumes
    secrets = system.kubectl.names("secrets", namespace=system.namespace)
    assert {f"{system.name}-postgres", f"{system.name}-neo4j", f"{system.name}-admin-key"} <= secrets

    system.kubectl.apply(sample, namespace=system.namespace)
    system.wait_ready()
    installation.make("expose")
    assert answers(installation.mcp_url, installation.key, project, questions) == before
    assert set(graph_memories(system, project)) == set(stored)


def test_a_volume_whose_secret_was_lost_is_stalled_and_never_reinitialised(
    system: System, installation: Installation, sample: dict[str, Any]
) -> None:
    project = f"lost-{uuid.uuid4().hex[:8]}"
    remember(installation.mcp_url, installation.key, project, FACTS[:5])
    question = next(iter(QUESTIONS))
    secret = system.kubectl.get("secret", f"{system.name}-postgres", namespace=system.namespace)
    kept = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            key: secret["metadata"][key] for key in ("name", "labels", "annotations") if key in secret["metadata"]
        },
        "data": secret["data"],
    }

    system.kubectl("delete", "memsys", system.name, "--wait=true", namespace=system.namespace)
    wait_until_gone(system)
    system.kubectl("delete", "secret", f"{system.name}-postgres", namespace=system.namespace)
    system.kubectl.apply(sample, namespace=system.namespace)
    stalled = system.wait_for("Stalled", "True", within=60)
    assert f"{system.name}-postgres" in stalled["message"]
    assert f"{system.name}-postgres" not in system.kubectl.names("secrets", namespace=system.namespace)
    assert not system.pods()

    system.kubectl("apply", "--server-side", "--filename", "-", namespace=system.namespace, stdin=json.dumps(kept))
    system.wait_ready()
    installation.make("expose")
    assert answers(installation.mcp_url, installation.key, project, [question])[question][0] == FACTS[4]


def test_without_the_operator_a_system_and_its_namespace_still_go(
    system: System, installation: Installation, kubectl: Kubectl, sample: dict[str, Any]
) -> None:
    namespace = f"orphan-{uuid.uuid4().hex[:8]}"
    kubectl("create", "namespace", namespace)
    try:
        other = System(kubectl, "orphan", namespace)
        document = copy.deepcopy(sample)
        document["metadata"] = {"name": other.name}
        document["spec"] = {"graph": {"provider": "none"}, "deletionPolicy": "Delete"}
        kubectl.apply(document, namespace=namespace)
        other.wait_for("PostgresReady", "True", within=180)
        kubectl.run("helm", "uninstall", "memsys-operator", "--namespace", "memsys-system", "--wait")

        kubectl("delete", "memsys", other.name, "--wait=true", "--timeout=60s", namespace=namespace)
        wait_until_gone(other)
        kubectl("delete", "namespace", namespace, "--wait=true", "--timeout=120s")
    finally:
        kubectl("delete", "namespace", namespace, "--ignore-not-found", "--wait=false")
        installation.make("install")
