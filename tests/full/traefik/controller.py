"""Traefik in a pod of the local cluster. Its binary is built here and lent to the pod by the node; its time-outs are
short enough to be outlived.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from tests.e2e.support.kubectl import Kubectl

CLUSTER_COMMAND = Path(__file__).parents[3] / "cluster" / "cluster"
CLASS = "traefik"
GATEWAY = "public"
#: What Traefik grants a request to arrive, and a connection to be silent.
TIMEOUT_SECONDS = 2
_SECURE = 8443
_ARGUMENTS = (
    f"--entryPoints.secure.address=:{_SECURE}",
    "--entryPoints.secure.http.tls=true",
    f"--entryPoints.secure.transport.respondingTimeouts.readTimeout={TIMEOUT_SECONDS}s",
    f"--entryPoints.secure.transport.respondingTimeouts.idleTimeout={TIMEOUT_SECONDS}s",
    f"--serversTransport.forwardingTimeouts.idleConnTimeout={TIMEOUT_SECONDS}s",
    f"--providers.kubernetesIngress.ingressClass={CLASS}",
    "--providers.kubernetesGateway=true",
    "--global.checkNewVersion=false",
    "--global.sendAnonymousUsage=false",
)


def built() -> Path:
    """The binary, compiled the first time (ten minutes on two idle cores)."""
    subprocess.run([CLUSTER_COMMAND, "build", "traefik"], check=True)
    found = subprocess.run([CLUSTER_COMMAND, "bin"], check=True, capture_output=True, text=True).stdout.strip()
    return (Path(found) / "traefik").resolve()


def gateway_api() -> list[Path]:
    """The definitions of the Gateway API's standard channel, as the module that Traefik is built with brings them."""
    cache = Path(os.environ.get("MEMSYS_CACHE") or Path.home() / ".cache/memsys") / "go"
    caches = {"GOMODCACHE": str(cache / "mod"), "GOCACHE": str(cache / "build"), "GOFLAGS": "-mod=readonly -modcacherw"}
    asked = subprocess.run(
        ["go", "mod", "download", "-json", "sigs.k8s.io/gateway-api"],
        cwd=CLUSTER_COMMAND.parent / "modules" / "traefik",
        env={**os.environ, **caches},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return sorted((Path(json.loads(asked)["Dir"]) / "config/crd/standard").glob("gateway.networking.k8s.io_*.yaml"))


def install(kubectl: Kubectl, namespace: str, image: str, certificate: str) -> None:
    """Have Traefik take up Ingresses of its class, and HTTPRoutes of a Gateway with one listener for TLS."""
    for definition in gateway_api():
        kubectl("apply", "--server-side", "--filename", str(definition))
    for document in _documents(namespace, image, built(), certificate):
        kubectl.apply(document, namespace=namespace)
    kubectl("rollout", "status", "deployment/traefik", "--timeout=120s", namespace=namespace)


def _documents(namespace: str, image: str, binary: Path, certificate: str) -> list[dict[str, Any]]:
    labels = {"app": "traefik"}
    container = {
        "name": "traefik",
        "image": image,
        "imagePullPolicy": "Never",
        "command": ["/opt/traefik", *_ARGUMENTS],
        "ports": [{"containerPort": _SECURE}],
        "readinessProbe": {"tcpSocket": {"port": _SECURE}, "periodSeconds": 1},
        "volumeMounts": [{"name": "binary", "mountPath": "/opt/traefik", "readOnly": True}],
    }
    pod = {
        "serviceAccountName": "traefik",
        "terminationGracePeriodSeconds": 1,
        "containers": [container],
        "volumes": [{"name": "binary", "hostPath": {"path": str(binary), "type": "File"}}],
    }
    listener = {
        "name": "https",
        "protocol": "HTTPS",
        "port": _SECURE,
        "tls": {"certificateRefs": [{"name": certificate}]},
    }
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "traefik"}},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "traefik"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "ServiceAccount", "name": "traefik", "namespace": namespace}],
        },
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "IngressClass",
            "metadata": {"name": CLASS},
            "spec": {"controller": "traefik.io/ingress-controller"},
        },
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "GatewayClass",
            "metadata": {"name": CLASS},
            "spec": {"controllerName": "traefik.io/gateway-controller"},
        },
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "Gateway",
            "metadata": {"name": GATEWAY},
            "spec": {"gatewayClassName": CLASS, "listeners": [listener]},
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "traefik"},
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "traefik"},
            "spec": {"selector": labels, "ports": [{"port": 443, "targetPort": _SECURE}]},
        },
    ]
