"""What a deleted system leaves behind, what takes it up again, and what a lost Secret means."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .support import Kubectl, Operator, System, eventually

DATA = ("postgres", "neo4j")


def owners(obj: dict[str, Any] | None) -> list[str]:
    assert obj is not None
    return [owner["kind"] for owner in obj["metadata"].get("ownerReferences", [])]


def precious(system: System) -> list[dict[str, Any] | None]:
    """What a kept system keeps: passwords, the admin key, volumes."""
    secrets = [system.child("secret", suffix) for suffix in (*DATA, "admin-key")]
    return secrets + [system.kubectl.get("pvc", f"data-m-{part}-0") for part in DATA]


def collect_garbage(system: System) -> None:
    """Delete what the garbage collector would: everything owned by a MemorySystem that is gone."""
    kinds = "secret,serviceaccount,service,networkpolicy,statefulset,deployment,pvc"
    for item in system.kubectl.list(kinds, f"memsys.dev/system={system.name}"):
        if "MemorySystem" in owners(item):
            system.kubectl("delete", item["kind"], item["metadata"]["name"], "--wait=false")


@pytest.fixture
def stored(operator: Operator, system: System) -> System:
    """A ready system with volumes."""
    system.apply()
    for part in DATA:
        system.make_claim(part)
    system.make_all_ready()
    return system


def test_nothing_carries_a_finalizer_or_an_annotation_of_the_framework(stored: System) -> None:
    for obj in (stored.object(), *stored.kubectl.list("secret,service,statefulset,deployment", "memsys.dev/system=m")):
        assert "finalizers" not in obj["metadata"], obj["metadata"]["name"]
        assert not [a for a in obj["metadata"].get("annotations", {}) if "kopf" in a]


def test_a_system_can_be_deleted_when_the_operator_is_gone(
    stored: System, operator: Operator, namespace: Kubectl
) -> None:
    operator.stop()
    namespace("delete", "memsys", "m", "--wait=true", "--timeout=10s")
    assert namespace.get("memsys", "m") is None


def test_the_policy_decides_who_owns_data_and_passwords_and_can_be_switched(stored: System) -> None:
    assert [owners(obj) for obj in precious(stored)] == [[]] * 5
    assert owners(stored.child("statefulset", "postgres")) == ["MemorySystem"]

    stored.apply({"deletionPolicy": "Delete"})
    eventually("all owned", lambda: [owners(obj) for obj in precious(stored)] == [["MemorySystem"]] * 5)
    stored.apply({"deletionPolicy": "Retain"})
    eventually("none owned", lambda: [owners(obj) for obj in precious(stored)] == [[]] * 5)


@pytest.mark.parametrize(
    ("meanwhile", "says"),
    [
        ({"embedder": {"provider": "openai", "model": "text-embedding-3-small", "baseURL": "http://x.y"}}, "Stalled"),
        ({"embedder": {"provider": "ollama", "model": "home-made", "baseURL": "http://x.y"}}, "Stalled"),
        ({"paused": True}, "Ready"),
    ],
)
def test_retain_is_in_force_whatever_else_of_the_spec_is_not(
    stored: System, meanwhile: dict[str, Any], says: str
) -> None:
    stored.apply({"deletionPolicy": "Delete"})
    eventually("all owned", lambda: [owners(obj) for obj in precious(stored)] == [["MemorySystem"]] * 5)
    stored.apply({"deletionPolicy": "Retain", **meanwhile})
    stored.wait(says, "True")
    assert [owners(obj) for obj in precious(stored)] == [[]] * 5


def test_the_same_name_and_embedder_adopt_what_was_kept(stored: System) -> None:
    passwords = [obj["data"] for obj in precious(stored)[:3] if obj]
    stored.kubectl("delete", "memsys", "m")
    collect_garbage(stored)
    eventually("workloads gone", lambda: stored.child("statefulset", "postgres") is None)

    stored.apply()
    stored.make_all_ready()
    assert [obj["data"] for obj in precious(stored)[:3] if obj] == passwords


def test_another_embedder_is_rejected_naming_both(stored: System) -> None:
    stored.kubectl("delete", "memsys", "m")
    collect_garbage(stored)
    stored.kubectl("create", "secret", "generic", "openai", "--from-literal=api-key=sk-1")
    embedder = {"provider": "openai", "model": "text-embedding-3-small", "apiKeySecretRef": {"name": "openai"}}
    stored.apply({"embedder": embedder})
    message = stored.wait("Ready", "False", "Rejected")["message"]
    assert "builtin/all-MiniLM-L6-v2/384" in message
    assert "openai/text-embedding-3-small/1536" in message
    assert stored.child("statefulset", "postgres") is None


def test_another_precision_is_rejected_and_what_runs_goes_on(stored: System) -> None:
    before = stored.wait_child("deployment", "api")["metadata"]["generation"]
    stored.apply({"vectorStore": {"precision": "float32"}})
    message = stored.wait("Stalled", "True", "Rejected")["message"]
    assert "set spec.vectorStore.precision back to halfvec" in message
    assert stored.object()["status"]["embedding"]["precision"] == "halfvec"
    assert stored.wait_child("deployment", "api")["metadata"]["generation"] == before
    stored.apply({"vectorStore": {"precision": "halfvec"}})
    stored.wait("Ready", "True")


def test_a_volume_whose_secret_is_lost_is_stalled_and_left_alone(stored: System) -> None:
    kept = stored.child("secret", "postgres")
    assert kept is not None
    stored.kubectl("delete", "memsys", "m")
    collect_garbage(stored)
    stored.kubectl("delete", "secret", "m-postgres")
    stored.apply()
    message = stored.wait("Stalled", "True", "CredentialsLost")["message"]
    for word in ("data-m-postgres-0", "m-postgres", "Restore", "memsys.dev/reset-credentials=postgres"):
        assert word in message
    assert stored.child("secret", "postgres") is None
    assert stored.child("statefulset", "postgres") is None

    restored = {field: kept[field] for field in ("apiVersion", "kind", "data", "type")}
    stored.kubectl("create", "-f", "-", stdin=json.dumps(restored | {"metadata": {"name": "m-postgres"}}))
    stored.wait("Stalled", "False")
    stored.make_all_ready()
    found = stored.child("secret", "postgres")
    assert found is not None
    assert found["data"] == kept["data"]


def test_lost_credentials_are_reset_when_told_to_and_pods_restart(stored: System) -> None:
    before = stored.wait_child("statefulset", "postgres")["spec"]["template"]["metadata"]["annotations"]
    stored.kubectl("delete", "secret", "m-postgres")
    stored.wait("Stalled", "True", "CredentialsLost")
    stored.kubectl("annotate", "memsys", "m", "memsys.dev/reset-credentials=postgres")
    stored.wait_child("secret", "postgres")
    stored.wait("Stalled", "False")
    annotations = stored.object()["metadata"].get("annotations", {})
    assert "memsys.dev/reset-credentials" not in annotations, "one permission is good for one reset"
    after = stored.wait_child("statefulset", "postgres")["spec"]["template"]["metadata"]["annotations"]
    assert after != before
    assert stored.kubectl.get("pvc", "data-m-postgres-0") is not None


def test_a_lost_graph_secret_is_made_anew_with_the_password_that_the_api_was_given(stored: System) -> None:
    kept, api = stored.wait_child("secret", "neo4j"), stored.wait_child("secret", "api")
    workload = stored.wait_child("statefulset", "neo4j")
    stored.kubectl("delete", "secret", "m-neo4j")
    assert stored.wait_child("secret", "neo4j")["data"] == kept["data"]
    eventually("labelled", lambda: "labels" in stored.wait_child("secret", "neo4j")["metadata"])
    stored.wait("Ready", "True")
    assert stored.wait_child("secret", "api")["data"] == api["data"]
    assert stored.wait_child("statefulset", "neo4j")["metadata"]["generation"] == workload["metadata"]["generation"]


def test_a_lost_graph_password_stalls_the_graph_alone(stored: System) -> None:
    # Both Secrets that hold it: one of them would be made anew from the other.
    stored.apply({"paused": True})
    stored.wait("Reconciling", "False", "Paused")
    stored.kubectl("delete", "secret", "m-neo4j", "m-api")
    stored.apply({"paused": False})
    message = stored.wait("GraphReady", "False", "CredentialsLost")["message"]
    assert "data-m-neo4j-0" in message
    stored.wait("Stalled", "True", "CredentialsLost")
    assert stored.child("statefulset", "neo4j") is not None
    assert stored.condition("APIReady")["status"] == "True"

    # The way out that the message names: the graph is rebuilt.
    stored.kubectl("delete", "statefulset/m-neo4j", "pvc/data-m-neo4j-0", "--wait=false")
    patch = json.dumps({"metadata": {"finalizers": None}})
    stored.kubectl("patch", "pvc", "data-m-neo4j-0", "--type=merge", "-p", patch)
    stored.wait_child("secret", "neo4j")
    stored.wait_child("statefulset", "neo4j")
    stored.wait("Stalled", "False")
