"""One apiserver for the whole tier, and one operator process in it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from .scripted_api import ScriptedAPI
from .support import OPERATOR_NAMESPACE, ROOT, Kubectl, Operator, Refused, System, eventually

CACHE = Path(os.environ.get("MEMSYS_CACHE") or Path.home() / ".cache/memsys")
KUBE_VERSION = "v1.34.4"


def _cluster(*args: str) -> str:
    done = subprocess.run([ROOT / "cluster/cluster", *args], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"cluster {' '.join(args)}: {done.stderr}"
    return done.stdout.strip()


def render(chart: str, *args: str, namespace: str = OPERATOR_NAMESPACE) -> str:
    """What ``helm install`` of a chart of this project would apply."""
    helm = CACHE / "bin/helm"
    assert helm.exists(), f"{helm} is missing; `cluster/cluster build` makes it"
    command = [helm, "template", chart, ROOT / "charts" / chart, "-n", namespace]
    done = subprocess.run([*command, "--kube-version", KUBE_VERSION, *args], capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise Refused(done.stderr)
    return done.stdout


@pytest.fixture(scope="session")
def cluster_name() -> Iterator[str]:
    name = f"contract-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"
    _cluster("down", name)
    _cluster("apiserver", name)
    yield name
    _cluster("down", name)


@pytest.fixture(scope="session")
def admin(cluster_name: str) -> Kubectl:
    """The administrator, with the definitions, rights and ServiceAccount of the operator's chart installed."""
    kubectl = Kubectl.connect(CACHE / "bin/kubectl", Path(_cluster("kubeconfig", cluster_name)))
    kubectl.make_namespace(OPERATOR_NAMESPACE)
    shown = ["--show-only=templates/crds.yaml", "--show-only=templates/rbac.yaml"]
    kubectl.within(OPERATOR_NAMESPACE)("apply", "--server-side", "-f", "-", stdin=render("memsys-operator", *shown))
    for plural in ("memorysystems", "memorykeys"):
        kubectl("wait", "--for=condition=established", f"crd/{plural}.memsys.dev", "--timeout=30s")
    for name, grows in (("fixed", False), ("growing", True)):
        kubectl.apply(
            {
                "apiVersion": "storage.k8s.io/v1",
                "kind": "StorageClass",
                "metadata": {"name": name},
                "provisioner": "tests.memsys.dev/none",
                "allowVolumeExpansion": grows,
            }
        )
    eventually("memsys served", lambda: "memorysystems" in kubectl("api-resources", "--api-group=memsys.dev"))
    return kubectl


@pytest.fixture(scope="session")
def audit_log(cluster_name: str) -> Path:
    return Path(_cluster("audit-log", cluster_name))


@pytest.fixture(scope="session")
def operator_kubeconfig(admin: Kubectl, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Access with no more rights than the chart gives the operator."""
    token = admin.within(OPERATOR_NAMESPACE)("create", "token", "memsys-operator", "--duration=2h").strip()
    config = json.loads(admin("config", "view", "--raw", "--flatten", "-o", "json"))
    config["users"] = [{"name": config["users"][0]["name"], "user": {"token": token}}]
    path = tmp_path_factory.mktemp("operator") / "kubeconfig"
    path.write_text(json.dumps(config))
    return path


@pytest.fixture(scope="session")
def scripted_api() -> Iterator[tuple[ScriptedAPI, int]]:
    script = ScriptedAPI()
    with script.serving() as port:
        yield script, port


@pytest.fixture
def memory_api(scripted_api: tuple[ScriptedAPI, int]) -> ScriptedAPI:
    """The memory API of every system here; it answers at one address."""
    script, _ = scripted_api
    script.reset()
    return script


@pytest.fixture(scope="session")
def running(
    operator_kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory, scripted_api: tuple[ScriptedAPI, int]
) -> Iterator[Operator]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = Operator(operator_kubeconfig, tmp_path_factory.mktemp("operator") / "log", port, scripted_api[1])
    process.start()
    yield process
    process.stop()


@pytest.fixture
def operator(running: Operator, memory_api: ScriptedAPI) -> Operator:
    """The operator, running: started again when the test before has stopped it."""
    running.start()
    return running


@pytest.fixture
def namespace(admin: Kubectl) -> Iterator[Kubectl]:
    """A namespace of the test's own. Its systems are deleted afterwards; nothing empties a namespace here."""
    kubectl = admin.make_namespace(f"test-{uuid.uuid4().hex[:8]}")
    yield kubectl
    kubectl.delete_systems()


@pytest.fixture
def system(namespace: Kubectl) -> System:
    """A name for a system; nothing is created yet."""
    return System(namespace, "m")
