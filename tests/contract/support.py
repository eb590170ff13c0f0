"""Kubectl, waiting, and the operator as a process."""

from __future__ import annotations

import base64
import json
import os
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import httpx

ROOT = Path(__file__).resolve().parents[2]
#: The user that the charts give the operator's rights to.
OPERATOR_NAMESPACE = "memsys-system"
OPERATOR_USER = f"system:serviceaccount:{OPERATOR_NAMESPACE}:memsys-operator"

T = TypeVar("T")


def eventually(what: str, look: Callable[[], T], within: float = 20) -> T:
    """Call ``look`` until it returns something true; an AssertionError inside it says what is still missing."""
    deadline = time.monotonic() + within
    missing: object = "nothing was seen"
    while time.monotonic() < deadline:
        try:
            found = look()
        except AssertionError as error:
            missing = error
        else:
            if found:
                return found
            missing = found
        time.sleep(0.05)
    raise AssertionError(f"not within {within:g} s: {what}; last seen: {missing}")


class Refused(Exception):
    """kubectl ended with an error; the text is what it said."""


#: kind as kubectl knows it -> path of its API and plural.
KINDS = {
    "crd": ("/apis/apiextensions.k8s.io/v1", "customresourcedefinitions"),
    "deployment": ("/apis/apps/v1", "deployments"),
    "event": ("/apis/events.k8s.io/v1", "events"),
    "httproute": ("/apis/gateway.networking.k8s.io/v1", "httproutes"),
    "ingress": ("/apis/networking.k8s.io/v1", "ingresses"),
    "memkey": ("/apis/memsys.dev/v1alpha1", "memorykeys"),
    "memsys": ("/apis/memsys.dev/v1alpha1", "memorysystems"),
    "networkpolicy": ("/apis/networking.k8s.io/v1", "networkpolicies"),
    "pod": ("/api/v1", "pods"),
    "poddisruptionbudget": ("/apis/policy/v1", "poddisruptionbudgets"),
    "pvc": ("/api/v1", "persistentvolumeclaims"),
    "resourcequota": ("/api/v1", "resourcequotas"),
    "secret": ("/api/v1", "secrets"),
    "service": ("/api/v1", "services"),
    "serviceaccount": ("/api/v1", "serviceaccounts"),
    "statefulset": ("/apis/apps/v1", "statefulsets"),
}


@dataclass(frozen=True)
class Kubectl:
    """The administrator in one namespace: kubectl for what users do, plain requests for looking and for playing the
    controllers that are missing here."""

    binary: Path
    kubeconfig: Path
    http: httpx.Client
    namespace: str = "default"

    @classmethod
    def connect(cls, binary: Path, kubeconfig: Path) -> Kubectl:
        view = [str(binary), "--kubeconfig", str(kubeconfig), "config", "view", "--raw", "--flatten", "-o", "json"]
        config = json.loads(subprocess.run(view, check=True, capture_output=True, timeout=60).stdout)
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        context = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
        with tempfile.NamedTemporaryFile() as pair:
            for part in ("client-certificate-data", "client-key-data"):
                pair.write(base64.b64decode(user[part]))
            pair.flush()
            context.load_cert_chain(pair.name)
        return cls(binary, kubeconfig, httpx.Client(base_url=cluster["server"], verify=context, trust_env=False))

    def __call__(self, *args: str, stdin: str | None = None) -> str:
        command = [str(self.binary), "--kubeconfig", str(self.kubeconfig), "--namespace", self.namespace, *args]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60)
        if done.returncode:
            raise Refused(done.stderr.strip())
        return done.stdout

    def within(self, namespace: str) -> Kubectl:
        return replace(self, namespace=namespace)

    def apply(self, document: dict[str, Any]) -> None:
        self("apply", "-f", "-", stdin=json.dumps(document))

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        answer = self.http.get(self._path(kind, name))
        if answer.status_code == 404:
            return None
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def list(self, kinds: str, selector: str = "") -> list[dict[str, Any]]:
        found = []
        for kind in kinds.split(","):
            answer = self.http.get(self._path(kind), params={"labelSelector": selector})
            answer.raise_for_status()
            body = answer.json()
            found += [{"kind": body["kind"].removesuffix("List"), **item} for item in body["items"]]
        return found

    def patch_status(self, kind: str, name: str, status: dict[str, Any]) -> None:
        """Write the status that a controller would have written."""
        headers = {"Content-Type": "application/merge-patch+json"}
        answer = self.http.patch(f"{self._path(kind, name)}/status", json={"status": status}, headers=headers)
        assert answer.is_success, answer.text

    def forbid(self, plural: str) -> None:
        """Admit no more of these objects here, by ResourceQuota ``none``, counted as its controller would have."""
        hard = {f"count/{plural}": "0"}
        self.apply({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": hard}})
        self.patch_status("resourcequota", "none", {"hard": hard, "used": hard})

    def make_namespace(self, name: str) -> Kubectl:
        """Create a namespace and go there."""
        answer = self.http.post("/api/v1/namespaces", json={"metadata": {"name": name}})
        assert answer.is_success, answer.text
        return self.within(name)

    def delete_systems(self) -> None:
        """Ask for the end of every MemorySystem of the namespace."""
        answer = self.http.delete(self._path("memsys"))
        assert answer.is_success, answer.text

    def _path(self, kind: str, name: str = "") -> str:
        prefix, plural = KINDS[kind]
        scope = "" if kind == "crd" else f"/namespaces/{self.namespace}"
        return f"{prefix}{scope}/{plural}/{name}".rstrip("/")


@dataclass(frozen=True)
class System:
    """One MemorySystem and the controllers that are missing here."""

    kubectl: Kubectl
    name: str

    def apply(self, spec: dict[str, Any] | None = None, annotations: dict[str, str] | None = None) -> None:
        self.kubectl.apply(manifest(self.name, spec or {}, annotations))

    def object(self) -> dict[str, Any]:
        found = self.kubectl.get("memsys", self.name)
        assert found is not None, f"MemorySystem {self.name} does not exist"
        return found

    def condition(self, kind: str) -> dict[str, Any]:
        """The condition, if it speaks of the newest generation; else nothing."""
        found = self.object()
        conditions = found.get("status", {}).get("conditions", [])
        current = (c for c in conditions if c.get("observedGeneration") == found["metadata"]["generation"])
        return next((c for c in current if c["type"] == kind), {})

    def wait(self, kind: str, status: str, reason: str | None = None, within: float = 20) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            found = self.condition(kind)
            assert found.get("status") == status, found
            assert reason in (None, found.get("reason")), found
            return found

        return eventually(f"{self.name}: {kind}={status} {reason or ''}", look, within) or {}

    def child(self, kind: str, suffix: str) -> dict[str, Any] | None:
        return self.kubectl.get(kind, f"{self.name}-{suffix}")

    def wait_child(self, kind: str, suffix: str) -> dict[str, Any]:
        return eventually(f"{kind} {self.name}-{suffix}", lambda: self.child(kind, suffix)) or {}

    def make_ready(self, kind: str, suffix: str, ready: int | None = None) -> None:
        """Say that the newest template of a workload runs and its pods are ready."""
        workload = self.wait_child(kind, suffix)
        replicas = workload["spec"]["replicas"]
        status = {
            "observedGeneration": workload["metadata"]["generation"],
            "replicas": replicas,
            "updatedReplicas": replicas,
            "readyReplicas": replicas if ready is None else ready,
            "availableReplicas": replicas if ready is None else ready,
        }
        self.kubectl.patch_status(kind, f"{self.name}-{suffix}", status)

    def make_all_ready(self, graph: bool = True) -> None:
        """Play kubelet for the whole system, in the order in which the operator lets it start."""
        self.make_ready("statefulset", "postgres")
        if graph:
            self.make_ready("statefulset", "neo4j")
        self.make_ready("deployment", "api")
        self.make_ready("deployment", "mcp")
        self.wait("Ready", "True")

    def make_claim(self, part: str, size: str = "10Gi", storage_class: str = "fixed") -> None:
        """Make the volume claim that the StatefulSet controller would have made, once there is a StatefulSet; bound."""
        self.wait_child("statefulset", part)
        name = f"data-{self.name}-{part}-0"
        self.kubectl.apply(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": {
                    "name": name,
                    "labels": {"memsys.dev/system": self.name, "app.kubernetes.io/component": part},
                },
                "spec": {
                    "accessModes": ["ReadWriteOnce"],
                    "storageClassName": storage_class,
                    "resources": {"requests": {"storage": size}},
                },
            }
        )
        self.kubectl.patch_status("pvc", name, {"phase": "Bound", "capacity": {"storage": size}})


def manifest(name: str, spec: dict[str, Any], annotations: dict[str, str] | None = None) -> dict[str, Any]:
    return {
        "apiVersion": "memsys.dev/v1alpha1",
        "kind": "MemorySystem",
        "metadata": {"name": name, "annotations": annotations or {}},
        "spec": spec,
    }


@dataclass
class Operator:
    """The operator's process: ``start``, ``stop``, its metrics and its log."""

    kubeconfig: Path
    log: Path
    health_port: int
    api_port: int
    process: subprocess.Popen[bytes] | None = None
    env: dict[str, str] = field(default_factory=dict)

    def start(self) -> None:
        """Start the process if it does not run, and wait until it is ready."""
        if self.process is not None:
            return
        env = {
            **os.environ,
            "KUBECONFIG": str(self.kubeconfig),
            "MEMSYS_HEALTH_PORT": str(self.health_port),
            "MEMSYS_RESYNC_SECONDS": "1",
            "MEMSYS_API_URL_TEMPLATE": f"http://127.0.0.1:{self.api_port}",
            **self.env,
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([sys.executable, "-m", "memsys_operator"], env=env, stderr=log, stdout=log)
        eventually("the operator ready", self._ready, within=60)

    def stop(self) -> None:
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the operator did not end within 20 s of SIGTERM: {self.tail()}") from None
        self.process = None
        assert code == 0, f"the operator ended with {code}: {self.tail()}"

    def _ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"the operator has ended: {self.tail()}"
        return self.fetch("/readyz")[0] == 200

    def fetch(self, path: str) -> tuple[int, str]:
        """Status and body of one of the operator's own endpoints; (0, reason) when it does not answer."""
        try:
            answer = httpx.get(f"http://127.0.0.1:{self.health_port}{path}", timeout=5, trust_env=False)
        except httpx.HTTPError as error:
            return 0, repr(error)
        return answer.status_code, answer.text

    def passes(self) -> float:
        """How many passes over any system have finished."""
        lines = self.fetch("/metrics")[1].splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("memsys_reconcile_total"))

    def tail(self) -> str:
        return "\n".join(self.log.read_text().splitlines()[-15:])


WRITES = {"create", "update", "patch", "delete", "deletecollection"}


def operator_writes(audit_log: Path) -> list[tuple[str, str]]:
    """Verb and address of every write by the operator's user, from the apiserver's audit log."""
    found = []
    for line in audit_log.read_text().splitlines():
        if OPERATOR_USER not in line:
            continue
        event = json.loads(line)
        ours = event["user"]["username"] == OPERATOR_USER and event["verb"] in WRITES
        if ours and event["stage"] == "ResponseComplete":
            found.append((event["verb"], event["requestURI"]))
    return found
