"""What a cluster is: written once when it is made, read by every later command."""

import json
import os
from dataclasses import asdict, dataclass

from .errors import ClusterError
from .paths import ClusterPaths


@dataclass(frozen=True)
class Description:
    """`kind` is `node`, `apiserver` or `kind`; ports are 0 where they do not apply, `slot` is -1."""

    kind: str
    slot: int = -1
    api_port: int = 0
    etcd_port: int = 0
    etcd_peer_port: int = 0


def load(paths: ClusterPaths) -> Description | None:
    """The description of a cluster, or None when there is none (or a crash cut it short)."""
    try:
        return Description(**json.loads(paths.description.read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def save(paths: ClusterPaths, description: Description) -> None:
    """Writes the description atomically."""
    paths.root.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = paths.description.with_suffix(f".{os.getpid()}")
    fresh.write_text(json.dumps(asdict(description)))
    fresh.replace(paths.description)


def existing(paths: ClusterPaths) -> Description:
    """The description of a cluster that must exist.

    Raises:
        ClusterError: there is no such cluster.
    """
    description = load(paths)
    if description is None:
        raise ClusterError(f"there is no cluster called {paths.name!r}: `cluster up {paths.name}` makes one")
    return description


def require_kind(paths: ClusterPaths, kind: str) -> Description | None:
    """The description, or None for a new cluster.

    Raises:
        ClusterError: the name is taken by a cluster of another kind.
    """
    description = load(paths)
    if description is not None and description.kind != kind:
        raise ClusterError(
            f"{paths.name!r} exists as a cluster of kind {description.kind!r}, not {kind!r}: "
            f"choose another name or `cluster down {paths.name}` first"
        )
    return description
