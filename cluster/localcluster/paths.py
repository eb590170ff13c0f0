"""Where things live on disk. Pure: nothing here touches the file system."""

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import ClusterError

NAME_PATTERN = re.compile(r"^[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?$")

#: The `cluster/` folder of the checkout.
CLUSTER_DIR = Path(__file__).resolve().parent.parent
MODULES_DIR = CLUSTER_DIR / "modules"
#: Sockets, slots and network namespaces belong to this boot of the machine, so they live in /run.
RUN_DIR = Path("/run/memsys")
NETNS_DIR = Path("/run/netns")


def cache_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """`MEMSYS_CACHE`, by default `~/.cache/memsys`."""
    return _configured(environ, "MEMSYS_CACHE", ".cache/memsys")


def state_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """`MEMSYS_STATE`, by default `~/.local/state/memsys`."""
    return _configured(environ, "MEMSYS_STATE", ".local/state/memsys")


def _configured(environ: Mapping[str, str], variable: str, fallback: str) -> Path:
    value = environ.get(variable, "")
    if value:
        return Path(value).absolute()
    return Path(environ.get("HOME", "/root")).absolute() / fallback


@dataclass(frozen=True)
class ClusterPaths:
    """The folders and machine-wide names of one cluster."""

    name: str
    root: Path

    @property
    def identity(self) -> str:
        """A name for what is machine-wide (cgroup, network namespace, /run folder).

        Two state folders may both hold a cluster called `dev`, hence the digest of the folder.
        """
        digest = hashlib.sha256(str(self.root).encode()).hexdigest()[:6]
        return f"memsys-{self.name}-{digest}"

    @property
    def run(self) -> Path:
        return RUN_DIR / self.identity

    @property
    def netns(self) -> Path:
        return NETNS_DIR / self.identity

    @property
    def logs(self) -> Path:
        return self.root / "log"

    @property
    def pids(self) -> Path:
        return self.root / "pid"

    @property
    def pki(self) -> Path:
        return self.root / "pki"

    @property
    def conf(self) -> Path:
        return self.root / "conf"

    @property
    def description(self) -> Path:
        """JSON: which kind of cluster this is, its slot and ports."""
        return self.root / "cluster.json"

    @property
    def audit_log(self) -> Path:
        return self.root / "audit" / "audit.log"

    @property
    def kubeconfig(self) -> Path:
        return self.root / "kubeconfig"

    @property
    def containerd_socket(self) -> Path:
        """In /run: a socket's path may not exceed 107 bytes, however deep the state folder is."""
        return self.run / "containerd.sock"

    @property
    def relays(self) -> Path:
        """JSON: local port -> `namespace/service:port`."""
        return self.root / "relays.json"


def cluster_paths(name: str, state: Path | None = None) -> ClusterPaths:
    """The paths of the cluster called `name`.

    Raises:
        ClusterError: the name is not a DNS label of at most 30 characters.
    """
    if not NAME_PATTERN.match(name):
        raise ClusterError(
            f"cluster name {name!r}: expected at most 30 lower-case letters, digits and inner hyphens, e.g. 'dev'"
        )
    return ClusterPaths(name, (state or state_dir()) / name)
