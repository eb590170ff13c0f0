"""Programs that come from the distribution: found, or installed by apt where that is possible, or named."""

import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from .commands import run, run_logged
from .errors import ClusterError
from .paths import cache_dir
from .progress import say, step

#: program -> Debian package that brings it
PACKAGES = {
    "go": "golang-go",
    "openssl": "openssl",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "nft": "nftables",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "mount": "mount",
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "haproxy": "haproxy",
    "buildah": "buildah",
    "mmdebstrap": "mmdebstrap",
    "mvn": "maven",
    "/usr/lib/cni/ptp": "containernetworking-plugins",
    "/etc/ssl/certs/ca-certificates.crt": "ca-certificates",
}
BUILD = ("go", "openssl", "/etc/ssl/certs/ca-certificates.crt")
CONTROL_PLANE = ("openssl",)
NODE = (
    "openssl",
    "ip",
    "nsenter",
    "nft",
    "iptables",
    "conntrack",
    "mount",
    "containerd",
    "ctr",
    "runc",
    "/usr/lib/cni/ptp",
)
RELAY = ("haproxy",)
FORWARD = ("setpriv",)
IMAGES = ("buildah", "runc", "mmdebstrap")

OLDEST_GO = (1, 21)


def missing_programs(programs: Iterable[str]) -> list[str]:
    """Those of `programs` (names on PATH, or absolute paths) that are not there."""
    search = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    return [p for p in programs if not (Path(p).exists() if p.startswith("/") else shutil.which(p, path=search))]


def packages_for(programs: Iterable[str]) -> list[str]:
    """The Debian packages of `programs`, each once, sorted."""
    return sorted({PACKAGES[program] for program in programs})


def require(programs: Iterable[str]) -> None:
    """Makes sure that `programs` exist, installing them with apt where this user may.

    Raises:
        ClusterError: something is missing and cannot be installed here; names the packages.
    """
    lacking = missing_programs(programs)
    if not lacking:
        return
    packages = packages_for(lacking)
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise ClusterError(f"please install {', '.join(packages)} (missing: {', '.join(lacking)})")
    say(f"  installing with apt: {' '.join(packages)}")
    env = {"DEBIAN_FRONTEND": "noninteractive"}
    log = cache_dir() / "log" / "apt.log"
    with step(f"apt-get install {' '.join(packages)}"):
        run_logged(["apt-get", "update", "-q"], log, env=env)
        run_logged(["apt-get", "install", "-y", "-q", "--no-install-recommends", *packages], log, env=env)
    still = missing_programs(programs)
    if still:
        raise ClusterError(f"apt installed {', '.join(packages)}, yet {', '.join(still)} is still missing")


def require_root(purpose: str) -> None:
    """Raises ClusterError unless this is root."""
    if os.geteuid() != 0:
        raise ClusterError(f"{purpose} needs root (network namespaces, mounts, cgroups): run it with sudo")


def go_version(text: str) -> tuple[int, int]:
    """`go version go1.26.8 linux/amd64` -> (1, 26)."""
    found = re.search(r"go(\d+)\.(\d+)", text)
    if not found:
        raise ClusterError(f"cannot read Go's version from {text!r}")
    return int(found[1]), int(found[2])


def require_go() -> None:
    """Go new enough to fetch the toolchain that a module asks for.

    Raises:
        ClusterError: Go is older than 1.21.
    """
    require(BUILD)
    if go_version(run(["go", "version"])) < OLDEST_GO:
        raise ClusterError("please install Go 1.26 or newer (1.21 or newer can fetch it); the installed one is too old")
