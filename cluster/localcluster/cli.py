"""The commands. Results go to stdout, progress and errors to stderr."""

import argparse
import os
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from types import FrameType

from . import apiserver, binaries, description, images, layout, node, relay
from .errors import ClusterError
from .locks import exclusive
from .paths import ClusterPaths, cache_dir, cluster_paths, state_dir
from .progress import say, step
from .tools import NODE_TOOLS


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code (130 when interrupted)."""
    signal.signal(signal.SIGTERM, _interrupt)
    os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    arguments = _parser().parse_args(argv)
    try:
        arguments.action(arguments)
    except ClusterError as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        say("interrupted; the same command carries on from here")
        return 130
    return 0


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cluster", description="A local Kubernetes for memsys.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(name: str, action: Callable[[argparse.Namespace], None], words: str, *, named: bool = True) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=words, description=words)
        sub.set_defaults(action=action)
        if named:
            sub.add_argument("name", metavar="NAME", help="the cluster's name")
        return sub

    command("build", _build, "compile the cluster's binaries into the cache", named=False)
    command("up", _up, "make a real node ready, or repair it")
    command("load", _load, "import the images that images/build made")
    expose = command("expose", _expose, "relay 127.0.0.1:LOCALPORT to services, until `down`")
    expose.add_argument("mappings", metavar="NS/SVC:PORT=LOCALPORT", nargs="*")
    command("apiserver", _apiserver, "only etcd and kube-apiserver, on 127.0.0.1")
    command("down", _down, "stop and remove everything of a cluster, keep the cache")
    command("kubeconfig", _kubeconfig, "print the path of an administrator's kubeconfig")
    command("audit-log", _audit_log, "print the path of the API server's audit log")
    return parser


def _paths(arguments: argparse.Namespace) -> ClusterPaths:
    return cluster_paths(arguments.name)


def _build(arguments: argparse.Namespace) -> None:
    binaries.ensure(NODE_TOOLS)
    say(f"  binaries are in {binaries.bin_dir()}")


def _apiserver(arguments: argparse.Namespace) -> None:
    paths = _paths(arguments)
    with _locked(paths):
        apiserver.up(paths)


def _kubeconfig(arguments: argparse.Namespace) -> None:
    paths = _paths(arguments)
    description.existing(paths)
    print(paths.kubeconfig)


def _audit_log(arguments: argparse.Namespace) -> None:
    paths = _paths(arguments)
    description.existing(paths)
    print(paths.audit_log)


def _up(arguments: argparse.Namespace) -> None:
    paths = _paths(arguments)
    with _locked(paths):
        node.up(paths)


def _load(arguments: argparse.Namespace) -> None:
    paths = _paths(arguments)
    source = images.project_layout()
    names = layout.images(source)
    if not names:
        raise ClusterError(f"no images in {source}: run images/build first")
    with _locked(paths):
        description.existing(paths)
        images.load(paths, source, names)


def _expose(arguments: argparse.Namespace) -> None:
    paths = _paths(arguments)
    with _locked(paths):
        description.existing(paths)
        relay.expose(paths, arguments.mappings)


def _down(arguments: argparse.Namespace) -> None:
    paths = _paths(arguments)
    with _locked(paths):
        if not paths.root.exists():
            return
        with step(f"remove cluster {paths.name}"):
            _remove(paths)


def _remove(paths: ClusterPaths) -> None:
    desc = description.load(paths)
    if desc is not None and desc.kind == "apiserver":
        apiserver.down(paths)
    else:
        node.down(paths, desc)
    shutil.rmtree(paths.root)


def _locked(paths: ClusterPaths) -> AbstractContextManager[None]:
    return exclusive(state_dir() / f".{paths.name}.lock", f"cluster {paths.name}")
