"""A cgroup subtree per cluster: pods live in it, and so does every process of the node, so that none gets lost."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from .errors import ClusterError
from .mounts import MOUNTINFO, of_type
from .progress import wait_for

CONTROLLERS = ("cpuset", "cpu", "io", "memory", "hugetlb", "pids")


def hierarchies() -> list[Path]:
    """Every mounted cgroup hierarchy: one on a v2 machine, one per controller on v1 and hybrid ones."""
    mountinfo = MOUNTINFO.read_text()
    return [Path(point) for kind in ("cgroup2", "cgroup") for point in of_type(mountinfo, kind)]


def ensure(identity: str) -> Path:
    """Makes the subtree in all hierarchies; returns the leaf that the node's own processes join.

    Raises:
        ClusterError: the machine has no cgroups mounted.
    """
    roots = hierarchies()
    if not roots:
        raise ClusterError("no cgroup file system is mounted at /sys/fs/cgroup: a Kubernetes node needs one")
    for root in roots:
        for controller in CONTROLLERS:
            # On v2 a child has only what its parent hands down; on v1 the file does not exist.
            with suppress(OSError):
                (root / "cgroup.subtree_control").write_text(f"+{controller}")
        (root / identity).mkdir(exist_ok=True)
    leaf = roots[0] / identity / "node"
    leaf.mkdir(exist_ok=True)
    return leaf


def kill_all(identity: str, seconds: float = 20.0) -> None:
    """Kills every process in the subtree, pods included.

    Raises:
        ClusterError: some process survived; names the pids.
    """

    def survivors() -> str | None:
        pids = sorted(set(_members(identity)))
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return f"pids {pids} survive SIGKILL" if pids else None

    wait_for(f"all processes of {identity} to end", survivors, seconds, interval=0.05)


def remove(identity: str) -> None:
    """Removes the emptied subtree from all hierarchies."""
    for root in hierarchies():
        folders = sorted((root / identity).rglob("*/"), key=lambda path: len(path.parts), reverse=True)
        for folder in [*(path for path in folders if path.is_dir()), root / identity]:
            _remove_folder(folder)


def _members(identity: str) -> Iterator[int]:
    for root in hierarchies():
        for listing in [root / identity / "cgroup.procs", *(root / identity).rglob("cgroup.procs")]:
            # A pod's cgroup may vanish while it is being read.
            with suppress(OSError):
                yield from map(int, listing.read_text().split())


def _remove_folder(folder: Path) -> None:
    deadline = time.monotonic() + 5.0
    while True:
        try:
            folder.rmdir()
            return
        except FileNotFoundError:
            return
        except OSError as error:
            if time.monotonic() > deadline:
                raise ClusterError(f"cannot remove the cgroup {folder}: {error.strerror}") from error
            time.sleep(0.05)
