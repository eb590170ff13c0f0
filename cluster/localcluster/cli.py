"""The commands. Results go to stdout, progress and errors to stderr."""

import argparse
import os
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType

from . import apiserver, binaries, description
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


def _down(arguments: argparse.Namespace) -> None:
    paths = _paths(arguments)
    with _locked(paths):
        apiserver.down(paths)
        shutil.rmtree(paths.root, ignore_errors=False) if paths.root.exists() else None


def _locked(paths: ClusterPaths):
    return exclusive(state_dir() / f".{paths.name}.lock", f"cluster {paths.name}")
