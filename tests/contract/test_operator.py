"""The operator as a process of its own, under its own rights, against a real apiserver."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from .scripted_api import ScriptedAPI
from .support import Kubectl, Operator, Refused, System, eventually, operator_writes

SELECTOR = "memsys.dev/system=m"
CHILDREN = "secret,serviceaccount,service,networkpolicy,statefulset,deployment,poddisruptionbudget"


def names_of(system: System, kinds: str = CHILDREN) -> set[str]:
    found = system.kubectl.list(kinds, SELECTOR)
    return {f"{item['kind']}/{item['metadata']['name']}" for item in found}


EARLY = {
    *(f"Secret/m-{suffix}" for suffix in ("postgres", "neo4j", "api", "admin-key")),
    *(f"ServiceAccount/m-{part}" for part in ("postgres", "neo4j", "api", "mcp")),
    *(f"NetworkPolicy/m-{part}" for part in ("postgres", "neo4j", "api", "mcp")),
    "Service/m-postgres-rw", "Service/m-neo4j", "Service/m-api", "Service/m-mcp",
    "StatefulSet/m-postgres", "StatefulSet/m-neo4j",
}  # fmt: skip


def test_a_system_starts_in_the_order_of_readiness(operator: Operator, system: System) -> None:
    system.apply()
    system.wait("APIReady", "False", "WaitingForPostgres")
    assert names_of(system) == EARLY
    # Only Neo4j ready: the API still waits.
    system.make_ready("statefulset", "neo4j")
    system.wait("GraphReady", "True")
    assert system.child("deployment", "api") is None

    system.make_ready("statefulset", "postgres")
    system.wait_child("deployment", "api")
    system.wait("MCPReady", "False", "WaitingForAPI")
    assert system.child("deployment", "mcp") is None
    system.make_ready("deployment", "api")
    system.make_ready("deployment", "mcp")
    system.wait("Ready", "True")
    system.wait("Reconciling", "False", "UpToDate")
    system.kubectl("wait", "--for=condition=Ready", "memsys/m", "--timeout=10s")

    # Once created, a part is not withdrawn because what it needs blinks.
    system.make_ready("statefulset", "postgres", ready=0)
    system.wait("Ready", "False")
    assert system.child("deployment", "api") is not None
    assert system.child("deployment", "mcp") is not None
    system.make_ready("statefulset", "postgres")
    system.wait("Ready", "True")


def test_status_tells_where_to_start(operator: Operator, system: System) -> None:
    system.apply()
    system.make_all_ready()
    status = system.object()["status"]
    assert status["observedGeneration"] == 1
    assert status["adminKeySecret"] == {"name": "m-admin-key", "key": "key"}
    secret = system.kubectl.get("secret", "m-admin-key")
    assert secret is not None
    key = base64.b64decode(secret["data"]["key"]).decode()
    kind, identity, rest = key.split("_")
    assert (kind, len(identity), len(rest)) == ("msk", 12, 32)
    assert status["embedding"] | {"reason": ""} == {
        "provider": "builtin", "model": "all-MiniLM-L6-v2", "dimensions": 384,
        "precision": "halfvec", "index": "auto", "reason": "",
    }  # fmt: skip
    assert status["endpoints"]["mcp"] == f"http://m-mcp.{system.kubectl.namespace}.svc:8080/mcp"
    eventually("the event Ready", lambda: "Ready" in {event["reason"] for event in system.kubectl.list("event")})


def test_a_second_pass_over_an_unchanged_system_writes_nothing(
    operator: Operator, system: System, audit_log: Path
) -> None:
    system.apply({"api": {"replicas": 2}, "postgres": {"parameters": {"work_mem": "8MB"}}})
    system.make_claim("postgres")
    system.make_claim("neo4j")
    system.make_all_ready()
    system.wait("GraphSynced", "True")
    system.wait("Reconciling", "False")
    settled = operator.passes()
    eventually("two quiet passes", lambda: operator.passes() >= settled + 2)

    before, writes = operator.passes(), len(operator_writes(audit_log))
    assert writes > len(EARLY)
    eventually("three passes more", lambda: operator.passes() >= before + 3)
    operator.stop()
    operator.start()  # a new process must find nothing to do either
    eventually("passes of the new process", lambda: operator.passes() >= 3)
    assert operator_writes(audit_log)[writes:] == []


@pytest.mark.parametrize(
    ("kind", "suffix"),
    [
        ("service", "postgres-rw"), ("serviceaccount", "mcp"), ("networkpolicy", "neo4j"), ("secret", "api"),
        ("secret", "admin-key"), ("statefulset", "postgres"), ("deployment", "mcp"),
    ],
)  # fmt: skip
def test_a_deleted_child_comes_back(ready: System, kind: str, suffix: str) -> None:
    before = ready.wait_child(kind, suffix)
    ready.kubectl("delete", kind, f"m-{suffix}", "--wait=false")

    def back() -> bool:
        found = ready.child(kind, suffix)
        return found is not None and found["metadata"]["uid"] != before["metadata"]["uid"]

    eventually(f"{kind} m-{suffix} back", back, within=10)


@pytest.fixture(scope="module")
def ready_namespace(admin: Kubectl) -> Iterator[Kubectl]:
    healing = admin.make_namespace("healing")
    yield healing
    healing.delete_systems()


@pytest.fixture
def ready(operator: Operator, ready_namespace: Kubectl) -> System:
    """A system that all healing tests share: each leaves it whole."""
    system = System(ready_namespace, "m")
    system.apply()
    system.make_all_ready()
    return system


def test_a_field_changed_by_hand_is_put_back(ready: System) -> None:
    ready.kubectl("scale", "deployment/m-api", "--replicas=5")

    def put_back() -> bool:
        return ready.wait_child("deployment", "api")["spec"]["replicas"] == 1

    eventually("one replica again", put_back)


def test_an_opened_network_policy_is_closed(ready: System) -> None:
    opened = [{"op": "add", "path": "/spec/ingress/0/from/0/namespaceSelector", "value": {}}]
    ready.kubectl("patch", "networkpolicy", "m-postgres", "--type=json", "-p", json.dumps(opened))

    def closed() -> bool:
        peer = ready.wait_child("networkpolicy", "postgres")["spec"]["ingress"][0]["from"][0]
        return "namespaceSelector" not in peer

    eventually("the policy closed", closed)


def test_what_changes_what_runs_or_who_is_reached_is_taken_back(ready: System) -> None:
    container = {"name": "mcp", "command": ["sleep", "9"], "args": ["x"]}
    container |= {"securityContext": {"capabilities": {"add": ["NET_RAW"]}}}
    pod = {"hostNetwork": True, "hostPID": True, "nodeSelector": {"no": "such"}, "containers": [container]}
    patches = {
        "deployment": {"paused": True, "template": {"spec": pod}},
        "service": {"selector": {"extra": "label"}, "externalIPs": ["192.0.2.1"]},
        "networkpolicy": {"policyTypes": ["Ingress", "Egress"], "egress": [{}]},
    }
    for kind, spec in patches.items():
        ready.kubectl("patch", kind, "m-mcp", "--type=strategic", "-p", json.dumps({"spec": spec}))

    def taken_back() -> bool:
        deployment, service = (ready.wait_child(kind, "mcp")["spec"] for kind in ("deployment", "service"))
        pod = deployment["template"]["spec"]
        fields = deployment.keys() | service.keys() | pod.keys() | pod["containers"][0].keys()
        left = fields & {"paused", "externalIPs", "hostNetwork", "hostPID", "nodeSelector", "command", "args"}
        assert not left, left
        assert pod["containers"][0]["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert ready.wait_child("networkpolicy", "mcp")["spec"]["policyTypes"] == ["Ingress"]
        return "extra" not in service["selector"]

    eventually("all taken back", taken_back)
    ready.make_all_ready()
    ready.wait("Reconciling", "False", "UpToDate")


def test_a_changed_spec_rolls_out_and_what_is_no_longer_asked_for_goes(operator: Operator, system: System) -> None:
    system.apply({"api": {"replicas": 2}, "mcp": {"isolation": "manual", "project": "p"}})
    system.make_all_ready()
    assert system.child("poddisruptionbudget", "api") is not None
    template = system.wait_child("deployment", "mcp")["spec"]["template"]
    assert {"name": "MEMSYS_MCP_PROJECT", "value": "p"} in template["spec"]["containers"][0]["env"]
    system.make_claim("neo4j")

    system.apply({"api": {"replicas": 1}, "graph": {"provider": "none"}})
    eventually("the budget gone", lambda: system.child("poddisruptionbudget", "api") is None)
    eventually("Neo4j gone", lambda: system.child("statefulset", "neo4j") is None)

    def without_project() -> bool:
        env = system.wait_child("deployment", "mcp")["spec"]["template"]["spec"]["containers"][0]["env"]
        return "MEMSYS_MCP_PROJECT" not in {entry["name"] for entry in env}

    eventually("the setting that was dropped is gone", without_project)
    assert system.child("secret", "neo4j") is not None, "the graph's volume is kept, so its password must be"
    system.make_all_ready(graph=False)
    assert system.condition("GraphReady")["reason"] == "Disabled"
    assert "data-m-neo4j-0 is kept" in system.condition("GraphReady")["message"]
    told = {
        "name": "MEMSYS_KEPT_GRAPH_VOLUME",
        "value": f"PersistentVolumeClaim {system.kubectl.namespace}/data-m-neo4j-0",
    }
    assert told in system.wait_child("deployment", "api")["spec"]["template"]["spec"]["containers"][0]["env"]


def test_a_paused_system_is_only_reported(operator: Operator, system: System) -> None:
    system.apply({"paused": True})
    system.wait("Reconciling", "False", "Paused")
    assert names_of(system) == set()
    system.apply({"paused": False})
    system.wait("APIReady", "False", "WaitingForPostgres")


def test_an_unknown_model_without_dimensions_is_rejected_with_the_remedy(operator: Operator, system: System) -> None:
    embedder = {"provider": "ollama", "model": "home-made", "baseURL": "http://ollama:11434"}
    system.apply({"embedder": embedder})
    message = system.wait("Ready", "False", "Rejected")["message"]
    assert "spec.embedder.dimensions" in message
    system.wait("Stalled", "True", "Rejected")
    assert names_of(system) == set()
    system.apply({"embedder": {**embedder, "dimensions": 700}})
    system.wait("Stalled", "False")
    eventually("dimensions in status", lambda: system.object()["status"]["embedding"]["dimensions"] == 700)


def test_the_api_waits_for_the_secret_that_the_spec_names(operator: Operator, system: System) -> None:
    key = {"name": "openai"}
    system.apply({"embedder": {"provider": "openai", "model": "text-embedding-3-small", "apiKeySecretRef": key}})
    system.make_ready("statefulset", "postgres")
    message = system.wait("APIReady", "False", "SecretNotFound")["message"]
    assert "spec.embedder.apiKeySecretRef" in message
    assert system.child("deployment", "api") is None
    system.kubectl("create", "secret", "generic", "openai", "--from-literal=api-key=sk-1")
    checksum = _checksum(system.wait_child("deployment", "api"))
    patch = json.dumps({"stringData": {"api-key": "sk-2"}})
    system.kubectl("patch", "secret", "openai", "--type=merge", "-p", patch)
    eventually("the API rolled for the new key", lambda: _checksum(system.wait_child("deployment", "api")) != checksum)


def test_the_api_waits_for_the_secret_of_its_language_model(operator: Operator, system: System) -> None:
    key = {"name": "claude", "key": "token"}
    system.apply({"llm": {"provider": "anthropic", "model": "claude-haiku-4-5", "apiKeySecretRef": key}})
    system.make_ready("statefulset", "postgres")
    message = system.wait("APIReady", "False", "SecretNotFound")["message"]
    assert "spec.llm.apiKeySecretRef: Secret claude does not exist" in message
    system.kubectl("create", "secret", "generic", "claude", "--from-literal=api-key=sk-1")
    eventually("the wrong key named", lambda: "no key token" in system.condition("APIReady").get("message", ""))
    patch = json.dumps({"stringData": {"token": "sk-1"}})
    system.kubectl("patch", "secret", "claude", "--type=merge", "-p", patch)
    pod = system.wait_child("deployment", "api")["spec"]["template"]["spec"]
    env = {entry["name"]: entry["value"] for entry in pod["containers"][0]["env"]}
    assert (env["LLM_PROVIDER"], env["LLM_MODEL"]) == ("anthropic", "claude-haiku-4-5")
    assert "sk-1" not in json.dumps(pod)


def _checksum(workload: dict[str, dict[str, dict[str, dict[str, dict[str, str]]]]]) -> str:
    return workload["spec"]["template"]["metadata"]["annotations"]["memsys.dev/config-checksum"]


def test_an_object_of_somebody_else_is_not_taken_over(operator: Operator, system: System) -> None:
    system.kubectl("create", "service", "clusterip", "m-api", "--tcp=80:80")
    system.apply()
    message = system.wait("Ready", "False", "NameTaken")["message"]
    assert "Service m-api" in message
    service = system.wait_child("service", "api")
    assert service["spec"]["ports"][0]["port"] == 80
    system.kubectl("delete", "service", "m-api")
    system.wait("APIReady", "False", "WaitingForPostgres")


def test_a_secret_of_somebody_else_is_not_taken_over(operator: Operator, system: System) -> None:
    system.kubectl("create", "secret", "generic", "m-api", "--from-literal=api-key=sk-1")
    key = {"name": "m-api"}
    system.apply({"embedder": {"provider": "openai", "model": "text-embedding-3-small", "apiKeySecretRef": key}})
    assert "Secret m-api" in system.wait("Stalled", "True", "NameTaken")["message"]
    secret = system.wait_child("secret", "api")
    assert (set(secret["data"]), secret["metadata"].get("ownerReferences")) == ({"api-key"}, None)
    system.kubectl("delete", "secret", "m-api")
    eventually("our own", lambda: "database_url" in (system.child("secret", "api") or {"data": {}})["data"])
    lacks = "Secret m-api has no key api-key"
    eventually(lacks, lambda: lacks in system.wait("APIReady", "False", "SecretNotFound")["message"])


def make_unpullable(system: System, part: str, pod: str) -> None:
    """Make a pod of a part whose image the kubelet would not find."""
    labels = {"memsys.dev/system": "m", "app.kubernetes.io/component": part}
    container = {"name": part, "image": "nowhere/image:1"}
    metadata = {"name": pod, "labels": labels}
    system.kubectl.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container]}})
    waiting = {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "nowhere/image:1"'}
    state = {**container, "imageID": "", "ready": False, "restartCount": 0, "state": {"waiting": waiting}}
    system.kubectl.patch_status("pod", pod, {"containerStatuses": [state]})


def test_a_rollout_that_cannot_end_is_told_while_what_served_serves_on(operator: Operator, system: System) -> None:
    system.apply({"graph": {"provider": "none"}})
    system.make_all_ready(graph=False)
    system.wait("Reconciling", "False", "UpToDate")
    system.kubectl.patch_status("deployment", "m-api", {"replicas": 2})
    make_unpullable(system, "api", "m-api-new")
    assert "nowhere/image:1" in system.wait("Reconciling", "True", "ImagePullBackOff")["message"]
    given_up = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": ""}
    system.kubectl.patch_status("deployment", "m-api", {"conditions": [given_up]})
    assert "nowhere/image:1" in system.wait("Stalled", "True", "ProgressDeadlineExceeded")["message"]
    assert system.condition("Ready")["status"] == "True"


def test_why_a_pod_does_not_start_stands_in_the_condition(operator: Operator, system: System) -> None:
    system.apply()
    make_unpullable(system, "postgres", "m-postgres-0")
    assert "nowhere/image:1" in system.wait("PostgresReady", "False", "ImagePullBackOff")["message"]
    assert system.wait("Ready", "False", "ImagePullBackOff")["message"].startswith("Postgres:")


def test_parked_memories_are_driven_and_reported(operator: Operator, system: System, memory_api: ScriptedAPI) -> None:
    script = memory_api
    script.answer = {"available": False, "pending": 3, "parked": 2, "lag_seconds": 47, "last_error": "graph away"}
    system.apply({"sync": {"intervalSeconds": 5}})
    system.make_all_ready()
    assert "graph away" in system.wait("GraphSynced", "False", "Parked")["message"]
    assert not script.synced.is_set(), "while the graph is away there is nothing to drive"
    sync = system.object()["status"]["sync"]
    assert (sync["pending"], sync["parked"], sync["lagSeconds"]) == (3, 2, 40)

    script.keys.clear()
    script.after_sync = {"available": True, "pending": 0, "parked": 0, "lag_seconds": 0}
    script.answer = {**script.answer, "available": True}
    system.wait("GraphSynced", "True")
    assert script.synced.is_set()
    secret = system.kubectl.get("secret", "m-admin-key")
    assert secret is not None
    # A system of the test before may ask once more on its way out, with its own key.
    assert f"Bearer {base64.b64decode(secret['data']['key']).decode()}" in script.keys


def test_drift_is_found_reported_mended_and_survives_a_restart_on_the_way(
    operator: Operator, system: System, memory_api: ScriptedAPI
) -> None:
    memory_api.wrong, memory_api.stubborn = {"one", "two"}, True
    system.apply({"sync": {"intervalSeconds": 5}})
    system.make_all_ready()
    assert "2 memories differ" in system.wait("GraphSynced", "False", "Drifted")["message"]
    assert system.object()["status"]["sync"]["drifted"] == 2
    eventually("a repair tried", memory_api.synced.is_set)
    operator.stop()
    memory_api.stubborn = False
    operator.start()
    system.wait("GraphSynced", "True", "Synced")
    assert memory_api.wrong == set()
    eventually("no drift in the status", lambda: system.object()["status"]["sync"]["drifted"] == 0)
    told = {"Drifted", "GraphSynced"}
    eventually("both events", lambda: told <= {event["reason"] for event in system.kubectl.list("event")})


def test_the_operator_can_do_no_more_than_its_rights(admin: Kubectl) -> None:
    user = "--as=system:serviceaccount:memsys-system:memsys-operator"
    for verb, resource in (("delete", "secrets"), ("delete", "persistentvolumeclaims"), ("create", "pods"),
                           ("delete", "memorysystems.memsys.dev"), ("create", "clusterroles")):  # fmt: skip
        with pytest.raises(Refused):
            admin("auth", "can-i", verb, resource, user)
