"""Manifests of what runs in every cluster: CoreDNS and local-path-provisioner. Pure."""

import json
from pathlib import Path
from typing import Any

from .images import COREDNS_IMAGE, LOCAL_PATH_IMAGE, VOLUME_HELPER_IMAGE
from .pki import CLUSTER_DOMAIN, DNS_CLUSTER_IP

Manifest = dict[str, Any]

STORAGE_NAMESPACE = "local-path-storage"
#: What must be available before a cluster counts as up: (namespace, deployment).
DEPLOYMENTS = (("kube-system", "coredns"), (STORAGE_NAMESPACE, "local-path-provisioner"))

RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def corefile(host_address: str) -> str:
    """Serves the cluster's names, and `host.memsys.internal` for the machine outside. Nothing is forwarded."""
    return f"""\
.:53 {{
    errors
    health {{
        lameduck 1s
    }}
    ready
    hosts {{
        {host_address} host.memsys.internal
        fallthrough
    }}
    kubernetes {CLUSTER_DOMAIN} in-addr.arpa ip6.arpa {{
        pods insecure
        ttl 5
    }}
    prometheus :9153
    cache 5
    loadbalance
    reload 5s
}}
"""


def manifests(host_address: str, volumes: Path) -> str:
    """All addon objects as one JSON list for `kubectl apply`."""
    items = [*_coredns(host_address), *_local_path(volumes)]
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})


def _object(api_version: str, kind: str, name: str, namespace: str | None = None, **body: Any) -> Manifest:
    metadata = {"name": name} if namespace is None else {"name": name, "namespace": namespace}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **body}


def _rbac(name: str, namespace: str, rules: list[Manifest]) -> list[Manifest]:
    """A service account and a cluster role bound to it, all of one name."""
    group = "rbac.authorization.k8s.io"
    return [
        _object("v1", "ServiceAccount", name, namespace),
        _object(f"{group}/v1", "ClusterRole", name, rules=rules),
        _object(
            f"{group}/v1",
            "ClusterRoleBinding",
            name,
            roleRef={"apiGroup": group, "kind": "ClusterRole", "name": name},
            subjects=[{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
        ),
    ]


def _deployment(name: str, namespace: str, labels: dict[str, str], pod: Manifest) -> Manifest:
    spec = {
        "replicas": 1,
        "selector": {"matchLabels": labels},
        "strategy": {"type": "Recreate"},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    return _object("apps/v1", "Deployment", name, namespace, spec=spec)


def _coredns(host_address: str) -> list[Manifest]:
    labels = {"k8s-app": "kube-dns"}
    watch = ["list", "watch"]
    rules = [
        {"apiGroups": [""], "resources": ["endpoints", "services", "pods", "namespaces"], "verbs": watch},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": watch},
    ]
    container = {
        "name": "coredns",
        "image": COREDNS_IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "args": ["-conf", "/etc/coredns/Corefile"],
        "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns", "readOnly": True}],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 1},
        "livenessProbe": {"httpGet": {"path": "/health", "port": 8080}, "initialDelaySeconds": 30},
        "securityContext": {**RESTRICTED, "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}},
    }
    pod = {
        "serviceAccountName": "coredns",
        "priorityClassName": "system-cluster-critical",
        "dnsPolicy": "Default",
        "containers": [container],
        "volumes": [{"name": "config", "configMap": {"name": "coredns"}}],
    }
    ports = [
        {"name": "dns", "port": 53, "protocol": "UDP"},
        {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
        {"name": "metrics", "port": 9153, "protocol": "TCP"},
    ]
    service = {"selector": labels, "clusterIP": DNS_CLUSTER_IP, "ports": ports}
    return [
        *_rbac("coredns", "kube-system", rules),
        _object("v1", "ConfigMap", "coredns", "kube-system", data={"Corefile": corefile(host_address)}),
        _deployment("coredns", "kube-system", labels, pod),
        _object("v1", "Service", "kube-dns", "kube-system", spec=service),
    ]


def _local_path(volumes: Path) -> list[Manifest]:
    name, namespace = "local-path-provisioner", STORAGE_NAMESPACE
    read = ["get", "list", "watch"]
    write = [*read, "create", "patch", "update", "delete"]
    rules = [
        {"apiGroups": [""], "resources": ["nodes", "persistentvolumeclaims", "configmaps", "pods/log"], "verbs": read},
        {"apiGroups": [""], "resources": ["pods", "persistentvolumes"], "verbs": write},
        {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]},
        {"apiGroups": ["storage.k8s.io"], "resources": ["storageclasses"], "verbs": read},
    ]
    config = {
        "nodePathMap": [{"node": "DEFAULT_PATH_FOR_NON_LISTED_NODES", "paths": [str(volumes)]}],
        "setupCommand": "/volume-helper",
        "teardownCommand": "/volume-helper",
    }
    helper = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "volume-helper"},
        "spec": {
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 1,
            "containers": [{"name": "helper-pod", "image": VOLUME_HELPER_IMAGE, "imagePullPolicy": "IfNotPresent"}],
        },
    }
    container = {
        "name": name,
        "image": LOCAL_PATH_IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "args": ["start", "--config", "/etc/config/config.json", "--service-account-name", name],
        "env": [
            {"name": "POD_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
            {"name": "CONFIG_MOUNT_PATH", "value": "/etc/config/"},
        ],
        "volumeMounts": [{"name": "config", "mountPath": "/etc/config", "readOnly": True}],
        "securityContext": RESTRICTED,
    }
    pod = {
        "serviceAccountName": name,
        "containers": [container],
        "volumes": [{"name": "config", "configMap": {"name": "local-path-config"}}],
    }
    data = {"config.json": json.dumps(config), "helperPod.yaml": json.dumps(helper)}
    storage_class = _object(
        "storage.k8s.io/v1",
        "StorageClass",
        "local-path",
        provisioner="rancher.io/local-path",
        volumeBindingMode="WaitForFirstConsumer",
        reclaimPolicy="Delete",
    )
    storage_class["metadata"]["annotations"] = {"storageclass.kubernetes.io/is-default-class": "true"}
    return [
        _object("v1", "Namespace", namespace),
        *_rbac(name, namespace, rules),
        _object("v1", "ConfigMap", "local-path-config", namespace, data=data),
        _deployment(name, namespace, {"app": name}, pod),
        storage_class,
    ]
