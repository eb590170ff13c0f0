"""Images into the node's containerd."""

import subprocess
from collections.abc import Iterable
from pathlib import Path

from . import binaries, layout
from .commands import run
from .errors import ClusterError
from .nodeconf import IMAGE_PREFIX, PAUSE_IMAGE
from .paths import ClusterPaths, cache_dir
from .progress import step, wait_for
from .tools import COREDNS_VERSION, LOCAL_PATH_VERSION

COREDNS_IMAGE = f"{IMAGE_PREFIX}/coredns:{COREDNS_VERSION}"
LOCAL_PATH_IMAGE = f"{IMAGE_PREFIX}/local-path-provisioner:{LOCAL_PATH_VERSION}"
VOLUME_HELPER_IMAGE = f"{IMAGE_PREFIX}/volume-helper:v1"

#: image of the node itself -> the one static binary in it
NODE_IMAGES = {
    PAUSE_IMAGE: "pause",
    COREDNS_IMAGE: "coredns",
    LOCAL_PATH_IMAGE: "local-path-provisioner",
    VOLUME_HELPER_IMAGE: "volume-helper",
}
#: containerd's Kubernetes part has seen an image once it carries this label.
MANAGED = "io.cri-containerd.image=managed"


def project_layout() -> Path:
    """The OCI layout that `images/build` writes."""
    return cache_dir() / "images" / "layout"


def ensure_node_layout() -> Path:
    """The OCI layout of the node's own images, made from the compiled binaries of this moment."""
    sources = {name: binaries.binary(program).resolve() for name, program in NODE_IMAGES.items()}
    key = "+".join(sorted(path.parent.name for path in sources.values()))
    folder = cache_dir() / "images" / "node"
    mark = folder / "made-from"
    if not (mark.exists() and mark.read_text() == key):
        for name, program in NODE_IMAGES.items():
            layout.add_scratch_image(folder, name, {f"/{program}": sources[name]}, [f"/{program}"])
        layout.retain(folder, NODE_IMAGES)
        mark.write_text(key)
    return folder


def load(paths: ClusterPaths, source: Path, names: Iterable[str]) -> None:
    """Imports those of `names` that containerd does not have with the same digest.

    Raises:
        ClusterError: there is nothing to load, an import failed, or containerd did not take notice of it.
    """
    wanted = {name: digest for name, digest in layout.images(source).items() if name in set(names)}
    if not wanted:
        raise ClusterError(f"no images in {source}: run images/build first")
    for name, digest in wanted.items():
        if not _has(paths, name, digest):
            with step(f"load {name}"):
                _import(paths, source, name)
    wait_for("containerd to take notice of the images", lambda: _unmanaged(paths, wanted), 30)


def _ctr(paths: ClusterPaths) -> list[str]:
    return ["ctr", f"--address={paths.containerd_socket}", "--namespace=k8s.io"]


def _has(paths: ClusterPaths, name: str, digest: str) -> bool:
    rows = [line.split() for line in run([*_ctr(paths), "images", "list", f"name=={name}"]).splitlines()[1:]]
    return any(row[0] == name and digest in row for row in rows)


def _unmanaged(paths: ClusterPaths, wanted: Iterable[str]) -> str | None:
    lines = run([*_ctr(paths), "images", "list"]).splitlines()[1:]
    managed = {line.split()[0] for line in lines if MANAGED in line}
    absent = sorted(set(wanted) - managed)
    return f"not yet: {', '.join(absent)}" if absent else None


def _import(paths: ClusterPaths, source: Path, name: str) -> None:
    command = [*_ctr(paths), "images", "import", "-"]
    present = set(run([*_ctr(paths), "content", "list", "--quiet"]).split())
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        broken = False
        try:
            layout.write_archive(source, name, child.stdin, present)
            child.stdin.close()
        except BrokenPipeError:
            broken = True
        words = child.stdout.read().decode(errors="replace").strip()
    if child.returncode != 0 or broken:
        raise ClusterError(f"ctr could not import {name}: {words[-1000:]}")
