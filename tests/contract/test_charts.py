"""The charts, rendered as helm would install them, and what the apiserver says to that."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from .conftest import render
from .support import OPERATOR_NAMESPACE, ROOT, Kubectl, Operator, Refused, System, eventually

RESTRICTED = "pod-security.kubernetes.io/enforce=restricted"


def documents(text: str) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(text) if document]


def test_the_operators_chart_is_admitted_as_a_whole(admin: Kubectl) -> None:
    text = render("memsys-operator", "--set=crds.install=false")
    admin.within(OPERATOR_NAMESPACE)("apply", "--server-side", "--dry-run=server", "-f", "-", stdin=text)


def test_one_value_points_all_images_elsewhere() -> None:
    rendered = documents(
        render("memsys-operator", "--set=images.registry=mirror.test/memsys", "--set-string=images.tag=9")
    )
    (deployment,) = [d for d in rendered if d["kind"] == "Deployment"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "mirror.test/memsys/memsys-operator:9"
    env = {entry["name"]: entry["value"] for entry in container["env"]}
    assert (env["MEMSYS_IMAGE_REGISTRY"], env["MEMSYS_IMAGE_TAG"]) == ("mirror.test/memsys", "9")
    assert "ghcr.io" not in json.dumps(deployment)


def test_reviewing_tokens_is_a_right_of_those_alone_that_the_values_name() -> None:
    assert not [d for d in documents(render("memsys-operator")) if d["metadata"]["name"].endswith("-token-review")
                and d["kind"] == "ClusterRoleBinding"]  # fmt: skip
    where = "tokenReview.serviceAccounts[0]"
    made = documents(render("memsys-operator", f"--set={where}.namespace=n", f"--set={where}.name=m-api"))
    named = {d["kind"]: d for d in made if d["metadata"]["name"].endswith("-token-review")}
    assert named["ClusterRoleBinding"]["subjects"] == [{"kind": "ServiceAccount", "name": "m-api", "namespace": "n"}]
    assert named["ClusterRoleBinding"]["roleRef"]["name"] == named["ClusterRole"]["metadata"]["name"]
    assert named["ClusterRole"]["rules"] == [
        {"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]}
    ]


@pytest.mark.parametrize("chart", ["memsys-operator", "memsys"])
def test_an_unknown_value_is_refused(chart: str) -> None:
    with pytest.raises(Refused, match="replicas"):
        render(chart, "--set=replicas=2")


def test_the_resource_definition_is_upgraded_and_kept() -> None:
    definitions = [d for d in documents(render("memsys-operator")) if d["kind"] == "CustomResourceDefinition"]
    assert len(definitions) == 2
    assert all(d["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep" for d in definitions)
    without = documents(render("memsys-operator", "--set=crds.install=false"))
    assert "CustomResourceDefinition" not in {d["kind"] for d in without}


def test_the_systems_chart_passes_the_spec_on(namespace: Kubectl) -> None:
    text = render("memsys", "--set=name=team", "--set=spec.graph.provider=none", namespace=namespace.namespace)
    namespace("apply", "-f", "-", stdin=text)
    found = namespace.get("memsys", "team")
    assert found is not None
    assert found["spec"]["graph"]["provider"] == "none"


def test_every_pod_passes_the_restricted_standard_of_the_apiserver(
    operator: Operator, system: System, admin: Kubectl
) -> None:
    system.apply({"api": {"replicas": 2}})
    system.make_all_ready()
    strict = admin.make_namespace(f"{system.kubectl.namespace}-strict")
    admin("label", "namespace", strict.namespace, RESTRICTED)
    workloads = system.kubectl.list("statefulset,deployment", "memsys.dev/system=m")
    workloads += [d for d in documents(render("memsys-operator")) if d["kind"] == "Deployment"]
    assert len(workloads) == 5
    for workload in workloads:
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": workload["metadata"]["name"]},
            "spec": workload["spec"]["template"]["spec"],
        }
        # The claim of a StatefulSet is added by its controller.
        for template in workload["spec"].get("volumeClaimTemplates", []):
            claim = {"name": template["metadata"]["name"], "emptyDir": {}}
            pod["spec"]["volumes"] = [*pod["spec"]["volumes"], claim]
        strict("create", "--dry-run=server", "-f", "-", stdin=json.dumps(pod))
    lax = {"containers": [{"name": "c", "image": "i"}]}
    refused = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": lax}
    with pytest.raises(Refused, match="restricted"):
        strict("create", "--dry-run=server", "-f", "-", stdin=json.dumps(refused))


def test_with_namespaces_named_the_operator_serves_them_with_rights_in_them_alone(
    admin: Kubectl, namespace: Kubectl, running: Operator, other_operator: Operator
) -> None:
    running.stop()
    elsewhere = System(admin.within(OPERATOR_NAMESPACE), "elsewhere")
    elsewhere.apply()
    inside = System(namespace, "m")
    inside.apply()
    other_operator.env = {"MEMSYS_WATCH_NAMESPACES": namespace.namespace}
    other_operator.start()
    inside.make_all_ready()
    inside.kubectl("delete", "service", "m-mcp")
    eventually("the Service back", lambda: inside.child("service", "mcp"))
    assert elsewhere.child("service", "api") is None
    assert "conditions" not in elsewhere.object().get("status", {})
    assert "forbidden" not in other_operator.log.read_text().lower()
    elsewhere.kubectl("delete", "memsys", "elsewhere", "--wait=false")


@pytest.fixture
def other_operator(admin: Kubectl, namespace: Kubectl, running: Operator, tmp_path: Any) -> Any:
    """An operator of a second release, whose rights the chart limits to one namespace."""
    home = admin.make_namespace("other-system")
    args = ["--show-only=templates/rbac.yaml", f"--set=watchNamespaces={{{namespace.namespace}}}"]
    text = render("memsys-operator", *args, namespace=home.namespace)
    admin_apply = ["apply", "--server-side", "-f", "-"]
    for document in documents(text):
        place = document["metadata"].get("namespace", "default")
        admin.within(place)(*admin_apply, stdin=json.dumps(document))
    config = json.loads(admin("config", "view", "--raw", "--flatten", "-o", "json"))
    token = home("create", "token", "memsys-operator").strip()
    config["users"] = [{"name": config["users"][0]["name"], "user": {"token": token}}]
    (tmp_path / "kubeconfig").write_text(json.dumps(config))
    other = Operator(tmp_path / "kubeconfig", tmp_path / "log", running.health_port, running.api_port)
    yield other
    other.stop()


MONITORING = ("serviceMonitor", "prometheusRule", "dashboard")


def test_monitoring_is_off_until_it_is_asked_for() -> None:
    kinds = {d["kind"] for d in documents(render("memsys-operator"))}
    assert kinds.isdisjoint({"ServiceMonitor", "PrometheusRule", "ConfigMap"})


def test_monitoring_is_made_of_the_files_of_the_chart_with_the_labels_that_select_it() -> None:
    wanted = [f"--set=monitoring.{part}.enabled=true,monitoring.{part}.labels.release=prom" for part in MONITORING]
    made = documents(render("memsys-operator", "--show-only=templates/monitoring.yaml", *wanted))
    assert sorted(d["kind"] for d in made) == ["ConfigMap", "PrometheusRule", "ServiceMonitor", "ServiceMonitor"]
    assert all(d["metadata"]["labels"]["release"] == "prom" for d in made)
    by_kind = {d["kind"]: d for d in made}
    files = ROOT / "charts/memsys-operator/files"
    assert by_kind["PrometheusRule"]["spec"] == yaml.safe_load((files / "alerts.yaml").read_text())
    dashboard = json.loads((files / "dashboard.json").read_text())
    assert json.loads(by_kind["ConfigMap"]["data"]["memsys.json"]) == dashboard
    assert "grafana_dashboard" in by_kind["ConfigMap"]["metadata"]["labels"]


def test_the_monitors_select_the_services_that_have_metrics(operator: Operator, system: System) -> None:
    one = "--set=monitoring.serviceMonitor.enabled=true"
    rendered = documents(render("memsys-operator", one, f"--set=watchNamespaces={{{system.kubectl.namespace}}}"))
    (metrics,) = [d for d in rendered if d["kind"] == "Service"]
    own, systems = (d["spec"] for d in rendered if d["kind"] == "ServiceMonitor")
    assert own["selector"]["matchLabels"].items() <= metrics["metadata"]["labels"].items()
    assert own["endpoints"][0]["port"] in {port["name"] for port in metrics["spec"]["ports"]}
    assert systems["namespaceSelector"] == {"matchNames": [system.kubectl.namespace]}

    system.apply()
    system.wait_child("service", "mcp")
    selector = systems["selector"]
    (component,) = selector["matchExpressions"]
    chosen = [
        service
        for service in system.kubectl.list("service")
        if selector["matchLabels"].items() <= service["metadata"]["labels"].items()
        and service["metadata"]["labels"][component["key"]] in component["values"]
    ]
    assert sorted(service["metadata"]["name"] for service in chosen) == ["m-api", "m-mcp"]
    for service in chosen:
        assert systems["endpoints"][0]["port"] in {port["name"] for port in service["spec"]["ports"]}
