import json
from pathlib import Path

import pytest
from localcluster import addons, control, kubeconfig, nodeconf, pki, prerequisites, providers
from localcluster.control import ControlPlane
from localcluster.errors import ClusterError
from localcluster.nodeconf import Node
from localcluster.paths import cluster_paths
from localcluster.slots import Slot

NODE = Node(cluster_paths("dev", Path("/s")), Slot(3), Path("/b"))
PLANE = ControlPlane(
    bin=Path("/b"),
    root=Path("/s"),
    pki=Path("/s/pki"),
    conf=Path("/s/conf"),
    audit_log=Path("/s/audit/audit.log"),
    address="10.213.3.2",
    api_port=6443,
    etcd_port=2379,
    etcd_peer_port=2380,
)


def test_the_api_server_logs_every_request_and_advertises_the_nodes_address() -> None:
    command = control.apiserver(PLANE, "0.0.0.0")
    assert "--audit-log-path=/s/audit/audit.log" in command
    assert "--advertise-address=10.213.3.2" in command
    assert "--authorization-mode=Node,RBAC" in command
    assert "level: Metadata" in control.AUDIT_POLICY


def test_etcd_listens_on_loopback_alone() -> None:
    listening = [flag for flag in control.etcd(PLANE) if "listen" in flag]
    assert listening
    assert all("//127.0.0.1:" in flag for flag in listening)


def test_two_clusters_share_no_cgroup_socket_or_pod_network_name() -> None:
    other = Node(cluster_paths("other", Path("/s")), Slot(4), Path("/b"))
    for render, field in ((nodeconf.kubelet_config, "cgroupRoot"), (nodeconf.cni_config, "name")):
        assert json.loads(render(NODE))[field] != json.loads(render(other))[field]
    assert NODE.paths.containerd_socket != other.paths.containerd_socket


def test_kubelet_never_collects_images_and_answers_no_stranger() -> None:
    config = json.loads(nodeconf.kubelet_config(NODE))
    assert config["imageGCHighThresholdPercent"] == 100
    assert config["authentication"]["anonymous"] == {"enabled": False}
    assert config["authorization"] == {"mode": "Webhook"}


def test_server_certificates_carry_the_addresses_and_clients_their_roles() -> None:
    by_name = {certificate.name: certificate for certificate in pki.certificates(["10.213.3.2"])}
    names = by_name["apiserver"].alternative_names
    assert {"IP:10.213.3.2", "IP:127.0.0.1", "IP:10.96.0.1", "DNS:kubernetes.default.svc"} <= set(names)
    assert by_name["kubelet"].subject == "/O=system:nodes/CN=system:node:memsys-node"
    assert "serverAuth" in pki.extensions(by_name["apiserver"])
    assert "clientAuth" in pki.extensions(by_name["admin"])


def test_a_kubeconfig_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    for name in ("ca.crt", "admin.crt", "admin.key"):
        (tmp_path / name).write_text(name)
    target = tmp_path / "conf" / "kubeconfig"
    kubeconfig.write(target, "https://10.213.3.2:6443", tmp_path, "admin", "dev")
    assert target.stat().st_mode & 0o777 == 0o600
    assert json.loads(target.read_text())["current-context"] == "dev"


def test_the_default_storage_class_and_dns_address_are_what_the_node_is_told() -> None:
    items = json.loads(addons.manifests("10.213.3.1", NODE.volumes))["items"]
    by_kind = {(item["kind"], item["metadata"]["name"]): item for item in items}
    annotations = by_kind["StorageClass", "local-path"]["metadata"]["annotations"]
    assert annotations == {"storageclass.kubernetes.io/is-default-class": "true"}
    dns = by_kind["Service", "kube-dns"]["spec"]["clusterIP"]
    assert json.loads(nodeconf.kubelet_config(NODE))["clusterDNS"] == [dns]
    config = json.loads(by_kind["ConfigMap", "local-path-config"]["data"]["config.json"])
    assert config["nodePathMap"][0]["paths"] == [str(NODE.volumes)]


def test_every_addon_that_is_waited_for_is_applied() -> None:
    items = json.loads(addons.manifests("10.213.3.1", NODE.volumes))["items"]
    deployments = {(i["metadata"]["namespace"], i["metadata"]["name"]) for i in items if i["kind"] == "Deployment"}
    assert deployments == set(addons.DEPLOYMENTS)


@pytest.mark.parametrize(
    ("wanted", "docker", "chosen"), [("auto", True, "kind"), ("auto", False, "node"), ("node", True, "node")]
)
def test_auto_is_kind_where_docker_answers_else_a_node(wanted: str, docker: bool, chosen: str) -> None:
    assert providers.choose(wanted, lambda: docker) == chosen


def test_an_unknown_provider_is_refused_with_the_choices() -> None:
    with pytest.raises(ClusterError, match="CLUSTER=minikube: expected one of auto, node, kind, current"):
        providers.choose("minikube", lambda: False)


def test_every_prerequisite_has_a_package() -> None:
    groups = (prerequisites.BUILD, prerequisites.NODE, prerequisites.RELAY, prerequisites.FORWARD, prerequisites.IMAGES)
    for group in groups:
        assert prerequisites.packages_for(group)


@pytest.mark.parametrize(
    ("text", "version"), [("go version go1.26.8 linux/amd64", (1, 26)), ("go version go1.21 x", (1, 21))]
)
def test_gos_version_is_read(text: str, version: tuple[int, int]) -> None:
    assert prerequisites.go_version(text) == version
