"""Which kind of cluster a name stands for, and what each command does for it."""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from . import apiserver, current, description, forward, images, kind, layout, node, relay
from .errors import ClusterError
from .kube import Kubectl
from .mounts import unmount_under
from .paths import ClusterPaths
from .progress import step
from .targets import Target
from .tools import API_TOOLS, CLIENT_TOOLS, HELM, KIND_TOOLS, NODE_TOOLS, Tool


@dataclass(frozen=True)
class Provider:
    """The verbs of one kind of cluster."""

    tools: tuple[Tool, ...]
    up: Callable[[ClusterPaths], None]
    down: Callable[[ClusterPaths], None]
    load: Callable[[ClusterPaths], None]
    expose: Callable[[ClusterPaths, Mapping[int, Target]], None]


def _load_into_node(paths: ClusterPaths) -> None:
    source = images.project_layout()
    images.load(paths, source, layout.images(source))
    _restart_outdated(Kubectl(paths.kubeconfig), layout.config_digests(source))


def _restart_outdated(kubectl: Kubectl, current_images: Mapping[str, str]) -> None:
    """Delete the pods that run an older build of an image: under a tag that stays the same nothing rolls out."""
    for pod in json.loads(kubectl("get", "pods", "--all-namespaces", "--output=json"))["items"]:
        running = pod["status"].get("containerStatuses", [])
        if any(is_outdated(status, current_images) for status in running):
            namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
            with step(f"restart {namespace}/{name} with its new image"):
                kubectl("delete", "pod", name, f"--namespace={namespace}", "--ignore-not-found")


def is_outdated(status: Mapping[str, Any], current_images: Mapping[str, str]) -> bool:
    """Whether a container status names an image whose current build is another one."""
    current = current_images.get(status["image"])
    return bool(current and status["imageID"] and not status["imageID"].endswith(current))


def _nothing(paths: ClusterPaths) -> None:
    """A cluster of the user's pulls its images from a registry."""


def _no_services(paths: ClusterPaths, fresh: Mapping[int, Target]) -> None:
    raise ClusterError(f"{paths.name!r} is a bare API server: it runs no services to expose")


PROVIDERS = {
    "node": Provider(NODE_TOOLS, node.up, node.down, _load_into_node, relay.expose),
    "kind": Provider(KIND_TOOLS, kind.up, kind.down, kind.load, forward.expose),
    "current": Provider(CLIENT_TOOLS, current.up, current.down, _nothing, forward.expose),
    # helm with it: contract tests render the charts.
    "apiserver": Provider((*API_TOOLS, HELM), apiserver.up, apiserver.down, _nothing, _no_services),
}
CHOICES = ("auto", "node", "kind", "current")


def choose(wanted: str, docker: Callable[[], bool] = kind.available) -> str:
    """The provider for a new cluster: `auto` is kind where a Docker engine answers, else a local node.

    Raises:
        ClusterError: `wanted` is no choice.
    """
    if wanted not in CHOICES:
        raise ClusterError(f"CLUSTER={wanted}: expected one of {', '.join(CHOICES)}")
    if wanted == "auto":
        return "kind" if docker() else "node"
    return wanted


def for_new() -> str:
    """The provider that the environment's CLUSTER asks for."""
    return choose(os.environ.get("CLUSTER") or "auto")


def kind_of(paths: ClusterPaths) -> str:
    """The kind that a cluster is of, or that `up` would make it.

    Raises:
        ClusterError: there is none, and the environment's CLUSTER is no choice.
    """
    existing = description.load(paths)
    return existing.kind if existing else for_new()


def of(paths: ClusterPaths) -> Provider:
    """The provider of an existing cluster.

    Raises:
        ClusterError: there is no such cluster.
    """
    return PROVIDERS[description.existing(paths).kind]


def remove(paths: ClusterPaths) -> None:
    """Ends a cluster and removes its state. What a crash left without a description can only be a node's."""
    desc = description.load(paths)
    PROVIDERS[desc.kind if desc else "node"].down(paths)
    if paths.root.exists():
        unmount_under(paths.root)
        shutil.rmtree(paths.root)


def leftovers(paths: ClusterPaths) -> bool:
    """Whether anything of the cluster is there."""
    return any(path.exists() for path in (paths.root, paths.run, paths.netns))
