"""A system of its own on the tier's cluster, exposed both ways, one after the other, through one Traefik."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import CLUSTER, Installation, free_port, installation, kubectl
from tests.e2e.support.kubectl import Kubectl, System
from tests.e2e.support.waiting import eventually
from tests.integration.ingress.conftest import API_HOST, HOSTS, MCP_HOST, WayIn
from tests.integration.mcp.clients import Target
from tests.support.certificates import Authority
from tests.support.connect_proxy import connect_proxy

from .controller import CLASS, CLUSTER_COMMAND, GATEWAY, install

__all__ = ["installation", "kubectl"]

NAMESPACE = "edge"
CERTIFICATE = "memory-tls"
WAYS: dict[str, dict[str, Any]] = {
    "Ingress": HOSTS | {"className": CLASS, "tls": {"secretName": CERTIFICATE}},
    "HTTPRoute": HOSTS | {"gateway": {"name": GATEWAY, "sectionName": "https"}},
}


@dataclass(frozen=True)
class Edge:
    """What every way in shares."""

    system: System
    secure_port: int
    ca: Path
    proxy: str

    def expose(self, way: str) -> WayIn:
        """Have the operator make this way in, and wait until it leads to the MCP server and to the API."""
        self.system.kubectl.apply(memory_system(way), namespace=NAMESPACE)
        self.system.wait_ready()
        self.system.wait_for("Exposed", "True", within=60)
        ends = self.system.document()["status"]["endpoints"]
        url = ends["mcpExternal"].removesuffix("/mcp")
        way_in = WayIn(url, ends["apiExternal"], "", ("127.0.0.1", self.secure_port), self.ca, self.proxy)
        with self.client() as client:
            for address in (f"{url}/mcp", f"{ends['apiExternal']}/info"):
                eventually(
                    f"{way}: {address} asks for a key", lambda a=address: client.get(a).status_code == 401, within=60
                )
        return way_in

    def client(self, **more: Any) -> httpx.Client:
        return httpx.Client(verify=str(self.ca), proxy=self.proxy, timeout=20, trust_env=False, **more)


def memory_system(way: str) -> dict[str, Any]:
    return {
        "apiVersion": "memsys.dev/v1alpha1",
        "kind": "MemorySystem",
        "metadata": {"name": "m"},
        "spec": {"graph": {"provider": "none"}, "mcp": {"replicas": 2}, "expose": WAYS[way]},
    }


@pytest.fixture(scope="session")
def edge(installation: Installation, kubectl: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    authority = Authority()
    kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    kubectl.apply(authority.secret(CERTIFICATE, MCP_HOST, API_HOST), namespace=NAMESPACE)
    system = System(kubectl, "m", NAMESPACE)
    kubectl.apply(memory_system("Ingress"), namespace=NAMESPACE)
    system.wait_ready()
    served = kubectl.get("deployment", "m-mcp", namespace=NAMESPACE)["spec"]["template"]["spec"]["containers"][0]
    install(kubectl, NAMESPACE, served["image"], CERTIFICATE)
    ca = tmp_path_factory.mktemp("edge") / "ca.pem"
    ca.write_text(authority.certificate)
    port = free_port()
    subprocess.run([CLUSTER_COMMAND, "expose", CLUSTER, f"{NAMESPACE}/traefik:443={port}"], check=True)
    with connect_proxy(port) as proxy:
        yield Edge(system, port, ca, proxy)
    kubectl("delete", "namespace", NAMESPACE, "--wait=false")


@pytest.fixture(scope="session", params=list(WAYS))
def way_in(request: pytest.FixtureRequest, edge: Edge) -> WayIn:
    return edge.expose(request.param)


@pytest.fixture
def target(way_in: WayIn, edge: Edge, monkeypatch: pytest.MonkeyPatch) -> Target:
    """A project nobody used before, a key for it alone, and an environment in which clients find the way."""
    for name, value in way_in.variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,10.0.0.0/8")  # kubectl's way to the apiserver
    project = f"p-{uuid.uuid4().hex[:10]}"
    with edge.client(headers={"Authorization": f"Bearer {edge.system.admin_key}"}) as client:
        made = client.post(f"{way_in.api_url}/keys", json={"name": "test", "projects": [project]})
    assert made.is_success, made.text
    return Target(way_in.mcp_url, way_in.api_url, made.json()["key"], project)
