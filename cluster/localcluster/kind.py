"""`CLUSTER=kind`: a cluster in the Docker engine, by kind's own commands.

Untried on the machines this was written on, which have no Docker engine.
"""

import tempfile

from . import binaries, description, forward, images, layout
from .commands import run, succeeds
from .description import Description
from .paths import ClusterPaths
from .progress import step
from .tools import KIND_TOOLS


def available() -> bool:
    """Whether a Docker engine answers."""
    return succeeds(["docker", "info"])


def up(paths: ClusterPaths) -> None:
    """Creates the cluster unless kind has it."""
    binaries.ensure(KIND_TOOLS)
    description.require_kind(paths, "kind")
    description.save(paths, Description("kind"))
    if paths.name not in run(_kind("get", "clusters")).split():
        with step(f"kind create cluster {paths.name}"):
            run(_kind("create", "cluster", "--name", paths.name, "--kubeconfig", str(paths.kubeconfig), "--wait=180s"))
    else:
        run(_kind("export", "kubeconfig", "--name", paths.name, "--kubeconfig", str(paths.kubeconfig)))
    forward.ensure(paths)


def load(paths: ClusterPaths) -> None:
    """Loads all built images into the node."""
    source = images.project_layout()
    for name in layout.images(source):
        with step(f"load {name}"), tempfile.NamedTemporaryFile(suffix=".tar") as archive:
            layout.write_archive(source, name, archive.file)
            archive.flush()
            run(_kind("load", "image-archive", archive.name, "--name", paths.name))


def down(paths: ClusterPaths) -> None:
    """Deletes the cluster."""
    forward.stop(paths)
    run(_kind("delete", "cluster", "--name", paths.name, "--kubeconfig", str(paths.kubeconfig)))


def _kind(*arguments: str) -> list[str]:
    return [str(binaries.binary("kind")), *arguments]
