"""What holds for the manifests of all operands."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from memsys_operator import names, quantity
from memsys_operator.observed import Manifest, key_of, secret_values

from .support import SETTINGS, claim, credentials, desired, find, secret, seen, system

SPECS: dict[str, dict[str, Any]] = {
    "default": {},
    "without graph": {"graph": {"provider": "none"}},
    "replicated": {"api": {"replicas": 3}, "mcp": {"replicas": 2}},
    "kept by nobody": {"deletionPolicy": "Delete"},
    "with everything mounted": {
        "api": {"tokenReview": True},
        "mcp": {"writeQueue": 1, "apiKeySecretRef": {"name": "k"}},
    },
}


def workloads(manifests: list[Manifest]) -> list[Manifest]:
    return [m for m in manifests if m["kind"] in ("StatefulSet", "Deployment")]


def pod_of(manifest: Manifest) -> dict[str, Any]:
    pod: dict[str, Any] = manifest["spec"]["template"]["spec"]
    return pod


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_every_pod_meets_the_restricted_standard(spec: dict[str, Any]) -> None:
    for manifest in workloads(desired(system(spec))):
        pod = pod_of(manifest)
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["fsGroup"] == 10001
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        kinds = {kind for volume in pod["volumes"] for kind in volume if kind != "name"}
        assert kinds <= {"emptyDir", "secret", "projected"}
        for container in pod["containers"]:
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False
            assert security["capabilities"] == {"add": [], "drop": ["ALL"]}
            assert security["readOnlyRootFilesystem"] is True
            assert "/tmp" in {mount["mountPath"] for mount in container["volumeMounts"]}


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_every_pod_has_the_three_probes_and_a_slow_start_is_not_killed(spec: dict[str, Any]) -> None:
    for manifest in workloads(desired(system(spec))):
        (container,) = pod_of(manifest)["containers"]
        startup = container["startupProbe"]
        assert startup["periodSeconds"] * startup["failureThreshold"] >= 300
        assert {"readinessProbe", "livenessProbe"} <= container.keys()


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_volumes_and_mounts_match(spec: dict[str, Any]) -> None:
    for manifest in workloads(desired(system(spec))):
        pod = pod_of(manifest)
        volumes = {volume["name"] for volume in pod["volumes"]}
        volumes |= {claim["metadata"]["name"] for claim in manifest["spec"].get("volumeClaimTemplates", [])}
        assert {mount["name"] for mount in pod["containers"][0]["volumeMounts"]} == volumes


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_every_service_and_policy_finds_its_pods_and_ports(spec: dict[str, Any]) -> None:
    manifests = desired(system(spec))
    pods = [w["spec"]["template"] for w in workloads(manifests)]
    for manifest in manifests:
        if manifest["kind"] == "Service":
            chosen = _chosen(pods, manifest["spec"]["selector"])
            ports = {p["name"] for p in chosen["spec"]["containers"][0]["ports"]}
            assert {p["targetPort"] for p in manifest["spec"]["ports"]} <= ports
        elif manifest["kind"] in ("NetworkPolicy", "PodDisruptionBudget"):
            selector = manifest["spec"].get("podSelector") or manifest["spec"]["selector"]
            _chosen(pods, selector["matchLabels"])


def _chosen(pods: list[Manifest], selector: dict[str, str]) -> Manifest:
    (chosen,) = [pod for pod in pods if selector.items() <= pod["metadata"]["labels"].items()]
    return chosen


def test_the_default_system_fits_two_cores_and_six_gibibytes() -> None:
    totals = {"cpu": Decimal(0), "memory": Decimal(0)}
    for manifest in workloads(desired(system())):
        (container,) = pod_of(manifest)["containers"]
        for kind, value in container["resources"]["requests"].items():
            totals[kind] += quantity.parse(value)
        assert "cpu" not in container["resources"]["limits"], "a CPU limit would throttle the start"
    assert totals["cpu"] <= 1
    assert totals["memory"] <= quantity.parse("3Gi")


def test_secrets_come_first_so_that_nothing_starts_without() -> None:
    kinds = [manifest["kind"] for manifest in desired(system())]
    assert "Secret" not in kinds[kinds.count("Secret") :]


def test_no_password_stands_outside_a_secret() -> None:
    target = system()
    made = credentials(target)
    assert made.neo4j is not None
    secrets = {*made.postgres.values(), *made.neo4j.values(), *made.admin.values()}
    for manifest in desired(target):
        if manifest["kind"] != "Secret":
            text = json.dumps(manifest)
            assert not [value for value in secrets if value in text]


def test_without_a_graph_nothing_of_neo4j_is_made() -> None:
    manifests = desired(system({"graph": {"provider": "none"}}))
    assert not [key for key in map(key_of, manifests) if "neo4j" in key[1]]
    env = _env(manifests, "Deployment", "m-api")
    assert env["GRAPH_STORE"] == "none"
    assert not [name for name in env if name.startswith("NEO4J")]


def test_the_apis_settings_speak_of_the_spec() -> None:
    spec = {
        "embedder": {"provider": "ollama", "model": "nomic-embed-text", "baseURL": "http://o:1"},
        "graph": {"ports": {"bolt": 9999}},
        "api": {"port": 9000, "logLevel": "debug"},
        "postgres": {"port": 6543},
    }
    manifests = desired(system(spec))
    env = _env(manifests, "Deployment", "m-api")
    assert env["EMBEDDER_MODEL"] == "nomic-embed-text"
    assert env["EMBEDDER_DIMENSIONS"] == "768"
    assert env["EMBEDDER_BASE_URL"] == "http://o:1"
    assert env["NEO4J_URI"] == "bolt://m-neo4j:9999"
    assert (env["MEMSYS_PORT"], env["MEMSYS_LOG_LEVEL"]) == ("9000", "DEBUG")
    assert _env(manifests, "Deployment", "m-mcp")["MEMSYS_API_URL"] == "http://m-api:9000"
    urls = secret_values(find(manifests, "Secret", "m-api"))
    assert urls["database_url"].startswith("postgresql://memsys_app:password-")
    assert urls["database_owner_url"].endswith("@m-postgres-rw:6543/memsys")
    assert find(manifests, "Service", "m-postgres-rw")["spec"]["ports"][0]["port"] == 6543


def _env(manifests: list[Manifest], kind: str, name: str) -> dict[str, str]:
    (container,) = pod_of(find(manifests, kind, name))["containers"]
    return {entry["name"]: entry["value"] for entry in container["env"]}


def test_postgres_settings_become_variables_of_its_image() -> None:
    manifests = desired(system({"postgres": {"parameters": {"work_mem": "8MB"}}}))
    assert _env(manifests, "StatefulSet", "m-postgres")["MEMSYS_PG_work_mem"] == "8MB"


def test_a_referenced_key_is_mounted_as_the_setting_and_its_change_replaces_the_pods() -> None:
    reference = {"name": "openai", "key": "token"}
    target = system(
        {"embedder": {"provider": "openai", "model": "text-embedding-3-small", "apiKeySecretRef": reference}}
    )

    def api(value: str) -> Manifest:
        observed = seen(references={"openai": secret("openai", {"token": value})})
        return find(desired(target, observed), "Deployment", "m-api")

    (volume,) = [v for v in pod_of(api("a"))["volumes"] if v["name"] == "secrets"]
    items = {"name": "openai", "items": [{"key": "token", "path": "embedder_api_key"}]}
    assert {"secret": items} in volume["projected"]["sources"]
    checksums = {
        api(value)["spec"]["template"]["metadata"]["annotations"][names.CHECKSUM_ANNOTATION]
        for value in ("a", "b", "a")
    }
    assert len(checksums) == 2


def test_a_language_model_becomes_settings_of_the_api_and_its_key_a_mounted_file() -> None:
    llm = {"provider": "openai", "model": "gpt-4.1-mini", "baseURL": "http://r:1", "apiKeySecretRef": {"name": "keys"}}
    manifests = desired(system({"llm": llm}), seen(references={"keys": secret("keys", {"api-key": "sk-1"})}))
    env = _env(manifests, "Deployment", "m-api")
    assert (env["LLM_PROVIDER"], env["LLM_MODEL"], env["LLM_BASE_URL"]) == ("openai", "gpt-4.1-mini", "http://r:1")
    (volume,) = [v for v in pod_of(find(manifests, "Deployment", "m-api"))["volumes"] if v["name"] == "secrets"]
    items = {"name": "keys", "items": [{"key": "api-key", "path": "llm_api_key"}]}
    assert {"secret": items} in volume["projected"]["sources"]
    assert "sk-1" not in json.dumps(manifests)


def test_without_a_language_model_the_api_is_told_so_and_nothing_else() -> None:
    env = _env(desired(system()), "Deployment", "m-api")
    assert {name: value for name, value in env.items() if name.startswith("LLM")} == {"LLM_PROVIDER": "none"}


def test_overridden_images_are_used_and_the_rest_comes_from_the_registry() -> None:
    manifests = desired(system({"images": {"neo4j": "own/neo4j:5", "pullSecrets": [{"name": "r"}]}}))
    neo4j = pod_of(find(manifests, "StatefulSet", "m-neo4j"))
    assert neo4j["containers"][0]["image"] == "own/neo4j:5"
    assert neo4j["imagePullSecrets"] == [{"name": "r"}]
    assert pod_of(find(manifests, "Deployment", "m-api"))["containers"][0]["image"] == SETTINGS.image_registry + (
        "/memsys-api:1"
    )


@pytest.mark.parametrize(("policy", "owned"), [("Retain", False), ("Delete", True)])
def test_the_policy_decides_whether_data_and_credentials_are_owned(policy: str, owned: bool) -> None:
    observed = seen(claim("data-m-postgres-0"), claim("data-m-neo4j-0"))
    target = system({"deletionPolicy": policy}, annotations={names.RESET_ANNOTATION: "postgres"})
    manifests = desired(target, observed)
    for kind, name in (
        ("Secret", "m-postgres"),
        ("Secret", "m-admin-key"),
        ("PersistentVolumeClaim", "data-m-neo4j-0"),
    ):
        assert ("ownerReferences" in find(manifests, kind, name)["metadata"]) is owned
    for kind, name in (("Secret", "m-api"), ("StatefulSet", "m-postgres"), ("Service", "m-mcp")):
        assert "ownerReferences" in find(manifests, kind, name)["metadata"]


def test_a_deleted_statefulset_never_takes_its_volume_along() -> None:
    for policy in ("Retain", "Delete"):
        retention = find(desired(system({"deletionPolicy": policy})), "StatefulSet", "m-postgres")["spec"]
        assert retention["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}


def test_budgets_and_spreading_only_where_there_are_replicas() -> None:
    one, many = desired(system()), desired(system({"api": {"replicas": 2}}))
    assert not [m for m in one if m["kind"] == "PodDisruptionBudget"]
    assert [key_of(m) for m in many if m["kind"] == "PodDisruptionBudget"] == [("PodDisruptionBudget", "m-api")]
    # Pods that are not ready anyway, as the API's are while PostgreSQL is away, hold up no drain.
    assert find(many, "PodDisruptionBudget", "m-api")["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
    assert "topologySpreadConstraints" not in pod_of(find(one, "Deployment", "m-api"))
    assert "topologySpreadConstraints" in pod_of(find(many, "Deployment", "m-api"))


def test_an_update_never_takes_a_server_away_before_its_successor_is_ready() -> None:
    for name in ("m-api", "m-mcp"):
        spec = find(desired(system()), "Deployment", name)["spec"]
        assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
        assert spec["minReadySeconds"] >= 5


def test_a_server_that_leaves_serves_on_until_no_proxy_sends_it_anything() -> None:
    manifests = desired(system())
    for name in ("m-api", "m-mcp"):
        pod = pod_of(find(manifests, "Deployment", name))
        pause = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert 5 <= pause <= pod["terminationGracePeriodSeconds"] - 30
        # Otherwise pods that do not listen yet, or no more, would be sent requests.
        assert not find(manifests, "Service", name)["spec"].get("publishNotReadyAddresses")


def test_the_mcp_server_stays_reachable_while_the_api_is_away() -> None:
    manifests = desired(system())
    (container,) = pod_of(find(manifests, "Deployment", "m-mcp"))["containers"]
    assert container["readinessProbe"]["httpGet"]["path"] == "/healthz"
    (container,) = pod_of(find(manifests, "Deployment", "m-api"))["containers"]
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_a_client_stays_with_its_replica_of_the_mcp_server() -> None:
    assert find(desired(system()), "Service", "m-mcp")["spec"]["sessionAffinity"] == "ClientIP"
