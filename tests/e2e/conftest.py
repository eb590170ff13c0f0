"""One cluster for the whole tier, brought up the way the README says: `make up`."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from .support.kubectl import Kubectl, System

ROOT = Path(__file__).resolve().parents[2]
CLUSTER = "memsys-test"
SAMPLE = ROOT / "crds" / "samples" / "minimal.yaml"
UP_SECONDS = 900


@dataclass(frozen=True)
class Installation:
    """What `make up` and `make -s env` gave: the environment of a user's shell, and the make variables that did it."""

    environment: dict[str, str]
    variables: tuple[str, ...]
    up_output: str

    @property
    def api_url(self) -> str:
        return self.environment["MEMSYS_API_URL"]

    @property
    def mcp_url(self) -> str:
        return self.environment["MEMSYS_MCP_URL"]

    @property
    def key(self) -> str:
        return self.environment["MEMSYS_API_KEY"]

    def make(self, *goals: str, timeout: float = UP_SECONDS) -> str:
        return make(*goals, *self.variables, timeout=timeout)


def make(*arguments: str, timeout: float = UP_SECONDS) -> str:
    """Run make at the root of the checkout and return its output; fail with all it said otherwise."""
    done = subprocess.run(
        ["timeout", "--kill-after=20", str(timeout), "make", "--silent", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"make {shlex.join(arguments)} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout


def own_cluster() -> str:
    """The CLUSTER by which the tier gets a cluster of its own: what the environment asks for, but never `current`.

    Raises:
        RuntimeError: the tier's name stands for the cluster of somebody's kubeconfig, from an earlier `up`.
    """
    wanted = os.environ.get("CLUSTER") or "auto"
    chosen = "auto" if wanted == "current" else wanted
    command, environment = ROOT / "cluster" / "cluster", {**os.environ, "CLUSTER": chosen}
    printed = subprocess.run([command, "kind", CLUSTER], env=environment, capture_output=True, text=True, check=True)
    if printed.stdout.strip() == "current":
        raise RuntimeError(
            f"{CLUSTER!r} is the cluster of a kubeconfig, and these tests delete what they find: they need a cluster "
            f"of their own; `make down NAME={CLUSTER}` takes the name from it and leaves it as it is"
        )
    return chosen


def audit_log(cluster: str) -> Path:
    """Return the apiserver's audit log, JSON lines."""
    printed = subprocess.run(
        [ROOT / "cluster" / "cluster", "audit-log", cluster], capture_output=True, text=True, check=True
    ).stdout
    return Path(printed.strip())


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def shell_exports(text: str) -> dict[str, str]:
    """Evaluate `make -s env` in a shell, as a user would, and return the environment it leaves."""
    script = f"{text}\nenv --null"
    printed = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, check=True).stdout
    return dict(entry.split("=", 1) for entry in printed.split("\0") if "=" in entry)


@pytest.fixture(scope="session")
def installation() -> Iterator[Installation]:
    # As arguments, which count more than what an outer make was given.
    variables = (f"CLUSTER={own_cluster()}", f"NAME={CLUSTER}", f"API_PORT={free_port()}", f"MCP_PORT={free_port()}")
    try:
        output = make("up", *variables)
        environment = shell_exports(make("env", *variables))
        yield Installation(environment, variables, output)
    finally:
        if not os.environ.get("KEEP"):
            make("down", f"NAME={CLUSTER}")


@pytest.fixture(scope="session")
def kubectl(installation: Installation) -> Kubectl:
    return Kubectl(installation.environment["KUBECONFIG"], installation.environment["PATH"])


@pytest.fixture(scope="session")
def sample() -> dict[str, object]:
    document: dict[str, object] = yaml.safe_load(SAMPLE.read_text())
    return document


@pytest.fixture
def system(kubectl: Kubectl, sample: dict[str, object]) -> System:
    """The system that `make up` applied, Ready. Applied again if a test before deleted it."""
    found = System(kubectl, str(sample["metadata"]["name"]), "default")  # type: ignore[index]
    kubectl.apply(sample, namespace=found.namespace)
    found.wait_ready()
    return found
