"""MemoryKeys against a real apiserver: admission, the Secret's life, and the end of a key."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from .scripted_api import ScriptedAPI
from .support import Kubectl, Operator, Refused, System, eventually, operator_writes


def memory_key(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "memsys.dev/v1alpha1",
        "kind": "MemoryKey",
        "metadata": {"name": "team"},
        "spec": {"systemRef": {"name": "m"}, "projects": ["team"], **spec},
    }


@pytest.fixture
def serving(operator: Operator, system: System) -> System:
    """A system whose API can be asked."""
    system.apply({"graph": {"provider": "none"}})
    system.make_all_ready(graph=False)
    return system


def key_in(kubectl: Kubectl, name: str = "team") -> str:
    secret = kubectl.get("secret", name)
    return base64.b64decode(secret["data"]["key"]).decode() if secret else ""


def ready(kubectl: Kubectl, status: str = "True") -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found = kubectl.get("memkey", "team")
        assert found is not None
        conditions = found.get("status", {}).get("conditions", [])
        condition = next((c for c in conditions if c["type"] == "Ready"), None)
        assert condition, f"no condition yet: {found.get('status')}"
        assert condition["status"] == status, condition
        return found

    return eventually(f"MemoryKey team: Ready={status}", look) or {}


def test_a_key_is_made_rotated_mended_and_ended(serving: System, memory_api: ScriptedAPI) -> None:
    kubectl = serving.kubectl
    kubectl.apply(memory_key())
    found = ready(kubectl)
    first = key_in(kubectl)
    assert memory_api.accepts(first)
    assert first.split("_")[1] == found["status"]["keyId"]

    kubectl("annotate", "memkey", "team", "memsys.dev/rotate=1")
    eventually("a new secret", lambda: key_in(kubectl) not in ("", first))
    second = key_in(kubectl)
    eventually("both keys accepted", lambda: memory_api.accepts(first) and memory_api.accepts(second))

    kubectl("delete", "secret", "team")
    eventually("the Secret again", lambda: key_in(kubectl) not in ("", second))
    eventually("the lost keys ended", lambda: not memory_api.accepts(first) and not memory_api.accepts(second))
    assert memory_api.accepts(key_in(kubectl))

    kubectl("delete", "memkey", "team", "--wait=false")
    eventually("no key left", lambda: not memory_api.declared)
    assert kubectl.get("memkey", "team") is None, "nothing holds the resource back"


def test_one_ready_replica_of_the_api_is_enough_to_declare_and_to_end_keys(
    serving: System, memory_api: ScriptedAPI
) -> None:
    kubectl = serving.kubectl
    serving.apply({"graph": {"provider": "none"}, "api": {"replicas": 3}})
    eventually("three replicas", lambda: serving.wait_child("deployment", "api")["spec"]["replicas"] == 3)
    serving.make_ready("deployment", "api", ready=2)
    serving.wait("APIReady", "True", "PartlyAvailable")
    serving.wait("Ready", "True")
    serving.wait("Reconciling", "True", "WaitingForReadiness")
    kubectl.apply(memory_key())
    ready(kubectl)
    serving.make_ready("deployment", "api", ready=1)
    kubectl("delete", "memkey", "team", "--wait=false")
    eventually("no key left", lambda: not memory_api.declared)


def test_a_quiet_key_causes_no_writes(serving: System, operator: Operator, audit_log: Path) -> None:
    serving.kubectl.apply(memory_key())
    ready(serving.kubectl)
    passes = operator.passes()
    eventually("a pass that saw the key", lambda: operator.passes() > passes + 1)
    before = len(operator_writes(audit_log))
    passes = operator.passes()
    eventually("three more passes", lambda: operator.passes() >= passes + 3)
    assert operator_writes(audit_log)[before:] == []


def test_a_key_waits_for_its_system_and_says_so(operator: Operator, namespace: Kubectl) -> None:
    namespace.apply(memory_key())
    found = ready(namespace, "False")
    assert "there is no MemorySystem m" in found["status"]["conditions"][0]["message"]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"projects": []}, "projects"),
        ({"projects": ["Team A"]}, "projects"),
        ({"defaultProject": "other"}, "must be one of projects"),
        ({"rights": ["root"]}, "rights"),
        ({"rotation": {"every": "weekly"}}, "rotation.every"),
        ({"rotation": {"every": "3651d"}}, "rotation.every.*at most 3650d"),
        ({"rotation": {"overlap": "9999999h"}}, "rotation.overlap.*at most 3650d"),
        ({"serviceAccount": {"name": "a"}, "secretName": "s"}, "has no Secret"),
        ({"requestsPerMinute": 0}, "requestsPerMinute"),
        ({"secretName": "My_Secret"}, "secretName"),
        ({"secretName": "../s"}, "secretName"),
        ({"systemRef": {"name": "a/b"}}, "systemRef.name"),
        ({"serviceAccount": {"name": "a:b"}}, "serviceAccount.name"),
        ({"serviceAccount": {"name": "a", "namespace": "b:c"}}, "serviceAccount.namespace"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_the_apiserver_refuses_what_cannot_be_by_name(namespace: Kubectl, spec: dict[str, Any], message: str) -> None:
    with pytest.raises(Refused, match=message):
        namespace.apply(memory_key(**spec))


def test_a_name_is_as_long_as_a_label_may_be(namespace: Kubectl) -> None:
    for length in (63, 64):
        key = memory_key(rotation={"every": "3650d"})
        key["metadata"]["name"] = "k" * length
        if length == 63:
            namespace.apply(key)
        else:
            with pytest.raises(Refused, match=r"metadata\.name: must have at most 63 characters"):
                namespace.apply(key)


def refuses_secrets(kubectl: Kubectl) -> bool:
    try:
        kubectl("create", "secret", "generic", "trial", "--dry-run=server")
    except Refused:
        return True
    return False


def test_a_key_whose_secret_is_refused_says_so_and_costs_no_other(serving: System, memory_api: ScriptedAPI) -> None:
    kubectl = serving.kubectl
    gone = memory_key()
    gone["metadata"]["name"] = "gone"
    kubectl.apply(gone)
    eventually("a key", lambda: key_in(kubectl, "gone") and memory_api.declared)
    kubectl.forbid("secrets")
    eventually("the quota in force", lambda: refuses_secrets(kubectl))
    kubectl.apply(memory_key())
    found = ready(kubectl, "False")
    assert "quota" in found["status"]["conditions"][0]["message"]
    kubectl("delete", "memkey", "gone", "--wait=false")
    eventually("the deleted key ended, the refused one never declared", lambda: not memory_api.declared)
    kubectl("delete", "resourcequota", "none")
    ready(kubectl)
    assert memory_api.accepts(key_in(kubectl))


@pytest.mark.parametrize(
    ("edit", "reason", "message"),
    [
        (
            {"expose": {"mcp": {"host": "m.test"}}, "mcp": {"replicas": 3}},
            "Refused",
            "Ingress m-mcp",
        ),
        ({"embedder": {"provider": "ollama", "model": "home-made", "baseURL": "http://o"}}, "Rejected", "dimensions"),
    ],
)
def test_a_key_ends_also_while_its_system_s_spec_stalls(
    serving: System, memory_api: ScriptedAPI, edit: dict[str, Any], reason: str, message: str
) -> None:
    kubectl = serving.kubectl
    kubectl.apply(memory_key())
    ready(kubectl)
    kubectl.forbid("ingresses.networking.k8s.io")
    serving.apply({"graph": {"provider": "none"}, **edit})
    stalled = serving.wait("Stalled", "True", reason)
    assert message in stalled["message"]
    kubectl("delete", "memkey", "team", "--wait=false")
    eventually("no key left", lambda: not memory_api.declared)
    if "mcp" in edit:
        deployment = serving.child("deployment", "mcp")
        assert deployment is not None
        assert deployment["spec"]["replicas"] == 3, "what is refused keeps nothing else from being applied"


def test_a_key_that_lets_nobody_in_is_not_ready(serving: System, memory_api: ScriptedAPI) -> None:
    kubectl = serving.kubectl
    kubectl.apply(memory_key())
    ready(kubectl)
    key = key_in(kubectl)
    kubectl.apply(memory_key(expiresAt="2026-01-01T00:00:00Z"))
    assert ready(kubectl, "False")["status"]["conditions"][0]["reason"] == "Expired"
    eventually("the key ended", lambda: not memory_api.declared)
    assert not memory_api.accepts(key)
    kubectl("delete", "memkey", "team", "--wait=false")
    eventually("gone", lambda: kubectl.get("memkey", "team") is None)
    kubectl.apply(memory_key(serviceAccount={"name": "agent"}))
    assert ready(kubectl, "False")["status"]["conditions"][0]["reason"] == "TokenReviewOff"
    serving.apply({"graph": {"provider": "none"}, "api": {"tokenReview": True}})
    ready(kubectl)


def test_a_key_stays_with_its_system_and_its_secret(namespace: Kubectl) -> None:
    namespace.apply(memory_key(secretName="s"))
    for change, refusal in (
        ({"systemRef": {"name": "other"}, "secretName": "s"}, "cannot be changed"),
        ({"secretName": "t"}, "cannot be changed"),
        ({}, "secretName: cannot be added or removed; make another MemoryKey"),
    ):
        with pytest.raises(Refused, match=refusal):
            namespace.apply(memory_key(**change))


def test_a_key_that_is_kept_under_its_own_name_stays_there(namespace: Kubectl) -> None:
    namespace.apply(memory_key())
    with pytest.raises(Refused, match="secretName: cannot be added or removed"):
        namespace.apply(memory_key(secretName="s"))
    namespace.apply(memory_key(requestsPerMinute=60))
