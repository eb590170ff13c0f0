"""The commands. Results go to stdout, progress and errors to stderr."""

import argparse
import os
import shutil
import signal
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from types import FrameType

from . import apiserver, binaries, cachefolder, description, providers, targets
from .errors import ClusterError
from .locks import exclusive
from .mounts import unmount_under
from .paths import ClusterPaths, cache_dir, cluster_paths, state_dir
from .progress import say, step
from .providers import PROVIDERS
from .tools import TEST_SERVERS

Action = Callable[[argparse.Namespace], None]


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

    def command(name: str, action: Action, words: str, *, named: bool = True) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=words, description=words)
        sub.set_defaults(action=action)
        if named:
            sub.add_argument("name", metavar="NAME", help="the cluster's name")
        return sub

    build = command("build", _build, "compile what a kind of cluster, or a test, needs into the cache", named=False)
    what = build.add_argument("what", metavar="WHAT", nargs="?", choices=sorted({*PROVIDERS, *TEST_SERVERS}))
    what.help = f"one of {', '.join(what.choices or ())}; default: what CLUSTER says"
    command("bin", _bin, "print the folder with kubectl, helm and the rest", named=False)
    command("up", _up, "make a cluster ready, or repair it; CLUSTER=auto|node|kind|current says which kind")
    command("load", _load, "import the images that images/build made")
    expose = command("expose", _expose, "relay 127.0.0.1:LOCALPORT to services, until `down`")
    expose.add_argument("mappings", metavar="NS/SVC:PORT=LOCALPORT", nargs="*")
    command("apiserver", _apiserver, "only etcd and kube-apiserver, on 127.0.0.1")
    command("kind", _kind, "print the kind of a cluster: what it is, or what `up` would make it")
    command("kubeconfig", _kubeconfig, "print the path of an administrator's kubeconfig")
    command("audit-log", _audit_log, "print the path of the API server's audit log")
    command("down", _down, "stop and remove everything of a cluster, keep the cache")
    command("clean", _clean, "remove all clusters and the cache", named=False)
    return parser


def _paths(arguments: argparse.Namespace) -> ClusterPaths:
    return cluster_paths(arguments.name)


def _locked(paths: ClusterPaths) -> AbstractContextManager[None]:
    return exclusive(cache_dir() / "locks" / paths.identity, f"cluster {paths.name}")


def _build(arguments: argparse.Namespace) -> None:
    what = arguments.what or providers.for_new()
    binaries.ensure(TEST_SERVERS.get(what) or PROVIDERS[what].tools)


def _bin(arguments: argparse.Namespace) -> None:
    print(binaries.bin_dir())


def _up(arguments: argparse.Namespace) -> None:
    paths = _paths(arguments)
    with _locked(paths):
        PROVIDERS[providers.kind_of(paths)].up(paths)


def _apiserver(arguments: argparse.Namespace) -> None:
    paths = _paths(arguments)
    with _locked(paths):
        apiserver.up(paths)


def _load(arguments: argparse.Namespace) -> None:
    paths = _paths(arguments)
    with _locked(paths):
        providers.of(paths).load(paths)


def _expose(arguments: argparse.Namespace) -> None:
    paths = _paths(arguments)
    fresh = dict(map(targets.parse_mapping, arguments.mappings))
    with _locked(paths):
        providers.of(paths).expose(paths, fresh)
    for local, target in sorted(targets.load(paths).items()):
        print(f"127.0.0.1:{local} -> {target}")


def _kind(arguments: argparse.Namespace) -> None:
    print(providers.kind_of(_paths(arguments)))


def _kubeconfig(arguments: argparse.Namespace) -> None:
    paths = _paths(arguments)
    description.existing(paths)
    print(paths.kubeconfig)


def _audit_log(arguments: argparse.Namespace) -> None:
    paths = _paths(arguments)
    if description.existing(paths).kind not in ("node", "apiserver"):
        raise ClusterError(f"{paths.name!r} is not a cluster of our own making: its audit log is not ours to read")
    print(paths.audit_log)


def _down(arguments: argparse.Namespace) -> None:
    paths = _paths(arguments)
    with _locked(paths):
        if providers.leftovers(paths):
            desc = description.load(paths)
            theirs = desc is not None and desc.kind == "current"
            with step(f"end the relays to {paths.name}" if theirs else f"remove cluster {paths.name}"):
                providers.remove(paths)


def _clean(arguments: argparse.Namespace) -> None:
    for name in sorted(path.parent.name for path in state_dir().glob("*/cluster.json")):
        _down(argparse.Namespace(name=name))
    cache = cache_dir()
    if cache.exists():
        cachefolder.check(cache)
        with step(f"remove {cache}"):
            unmount_under(cache)
            shutil.rmtree(cache)
