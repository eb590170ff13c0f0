"""kubectl as the tests use it: one cluster, text in, JSON out."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from .waiting import eventually


class Refused(AssertionError):
    """kubectl or helm ended with an error; the message is what it printed."""


@dataclass(frozen=True)
class Kubectl:
    """Runs kubectl and helm against one cluster."""

    kubeconfig: str
    path: str

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "KUBECONFIG": self.kubeconfig, "PATH": self.path}

    def run(self, *command: str, stdin: str | None = None, timeout: float = 180) -> str:
        """Return what the command printed. Raises Refused, with its error output, when it fails."""
        done = subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            env=self.environment,
            check=False,
        )
        if done.returncode != 0:
            raise Refused(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def __call__(self, *arguments: str, namespace: str | None = None, stdin: str | None = None) -> str:
        scope = ("--namespace", namespace) if namespace else ()
        return self.run("kubectl", *scope, *arguments, stdin=stdin)

    def get(self, *arguments: str, namespace: str | None = None) -> dict[str, Any]:
        """Return an object, or a list object, as a dict."""
        document: dict[str, Any] = json.loads(self("get", *arguments, "--output", "json", namespace=namespace))
        return document

    def names(self, kind: str, *, namespace: str, selector: str | None = None) -> set[str]:
        chosen = ("--selector", selector) if selector else ()
        return {item["metadata"]["name"] for item in self.get(kind, *chosen, namespace=namespace)["items"]}

    def apply(self, document: dict[str, Any], *, namespace: str | None = None) -> str:
        return self("apply", "--filename", "-", namespace=namespace, stdin=json.dumps(document))

    @contextmanager
    def forward(self, target: str, port: int, *, namespace: str) -> Iterator[str]:
        """Forward a port of a pod or service to 127.0.0.1 and yield "127.0.0.1:port"."""
        process = subprocess.Popen(
            ["kubectl", "--namespace", namespace, "port-forward", target, f":{port}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self.environment,
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.search(r"127\.0\.0\.1:\d+", line)
            assert found, f"kubectl port-forward {target}: {line.strip()}"
            yield found.group(0)
        finally:
            process.terminate()
            process.wait(timeout=10)


@dataclass(frozen=True)
class System:
    """One MemorySystem, seen through kubectl."""

    kubectl: Kubectl
    name: str
    namespace: str

    def document(self) -> dict[str, Any]:
        return self.kubectl.get("memsys", self.name, namespace=self.namespace)

    def conditions(self) -> dict[str, dict[str, Any]]:
        status = self.document().get("status", {})
        return {condition["type"]: condition for condition in status.get("conditions", [])}

    def wait_for(self, condition: str, status: str, *, within: float, reason: str | None = None) -> dict[str, Any]:
        """Wait until a condition has a status (and a reason); return it."""

        def matches() -> dict[str, Any] | None:
            conditions = self.conditions()
            found = conditions.get(condition, {})
            if found.get("status") == status and reason in (None, found.get("reason")):
                return found
            raise AssertionError({kind: (c["status"], c["reason"], c["message"]) for kind, c in conditions.items()})

        wanted = f"{condition}={status}" + (f" ({reason})" if reason else "")
        return eventually(f"{self.namespace}/{self.name} {wanted}", matches, within=within)

    def wait_ready(self, *, within: float = 420) -> None:
        """Wait until the spec as it stands is served, and by nothing else: a pod that leaves may still answer."""

        def served() -> bool:
            document = self.document()
            conditions = {c["type"]: c for c in document["status"]["conditions"]}
            current = all(c["observedGeneration"] == document["metadata"]["generation"] for c in conditions.values())
            truths = (conditions["Ready"]["status"], conditions["Reconciling"]["status"])
            leaving = [pod["metadata"]["name"] for pod in self._pods() if "deletionTimestamp" in pod["metadata"]]
            if current and truths == ("True", "False") and not leaving:
                return True
            raise AssertionError(f"leaving: {leaving}; conditions: {document['status']['conditions']}")

        eventually(f"{self.namespace}/{self.name} Ready and rolled out", served, within=within)

    @property
    def selector(self) -> str:
        return f"memsys.dev/system={self.name}"

    def pods(self) -> dict[str, str]:
        """Return the uid of every pod of the system, by name."""
        return {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in self._pods()}

    def _pods(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self.kubectl.get("pods", "--selector", self.selector, namespace=self.namespace)[
            "items"
        ]
        return items

    def secret(self, name: str, key: str) -> str:
        return base64.b64decode(self.kubectl.get("secret", name, namespace=self.namespace)["data"][key]).decode()

    @property
    def admin_key(self) -> str:
        where = self.document()["status"]["adminKeySecret"]
        return self.secret(where["name"], where["key"])
