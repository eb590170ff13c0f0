"""`cluster expose` for a local node: HAProxy on 127.0.0.1, its servers inside the node's network namespace."""

import os
import signal
from collections.abc import Mapping

from . import processes, targets
from .commands import run
from .errors import ClusterError
from .kube import Kubectl
from .paths import ClusterPaths
from .prerequisites import RELAY, require
from .progress import say, step, wait_for
from .targets import Target

PROCESS = "haproxy"


def render(addresses: Mapping[int, tuple[Target, str]], namespace: str) -> str:
    """haproxy.cfg: local port -> (target, its cluster IP), reached inside the network namespace.

    Streams (SSE) may be silent for long, so idle connections live a day; a dead service is noticed on connect.
    """
    lines = [
        "global",
        "    maxconn 4096",
        "    hard-stop-after 10m",
        "defaults",
        "    mode tcp",
        "    timeout connect 5s",
        "    timeout client 24h",
        "    timeout server 24h",
        "    timeout tunnel 24h",
        "    option clitcpka",
        "    option srvtcpka",
    ]
    for local, (target, address) in sorted(addresses.items()):
        lines += [
            f"listen port-{local}",
            f"    bind 127.0.0.1:{local}",
            f"    server {target.namespace}.{target.service} {address}:{target.port} namespace {namespace}",
        ]
    return "\n".join(lines) + "\n"


def expose(paths: ClusterPaths, fresh: Mapping[int, Target]) -> None:
    """Adds relays; a local port given again is replaced.

    Raises:
        ClusterError: a service is missing or headless or does not answer HTTP, or a local port is taken.
    """
    kubectl = Kubectl(paths.kubeconfig)
    for target in fresh.values():
        _cluster_ip(kubectl, target)
    targets.add(paths, fresh)
    ensure(paths)
    targets.await_answers(fresh, (paths.logs / "haproxy.log",))


def ensure(paths: ClusterPaths) -> None:
    """Makes the recorded relays run, with the addresses that the services have now."""
    wanted = targets.load(paths)
    if not wanted:
        return
    require(RELAY)
    kubectl = Kubectl(paths.kubeconfig)
    addresses: dict[int, tuple[Target, str]] = {}
    for local, target in wanted.items():
        try:
            addresses[local] = (target, _cluster_ip(kubectl, target))
        except ClusterError as error:
            say(f"    127.0.0.1:{local} is not relayed: {error}")
    if addresses:
        _apply(paths, addresses)


def stop(paths: ClusterPaths) -> None:
    """Ends all relays."""
    processes.stop(paths.pids, PROCESS, seconds=3.0)


def _apply(paths: ClusterPaths, addresses: Mapping[int, tuple[Target, str]]) -> None:
    config = paths.conf / "haproxy.cfg"
    # HAProxy keeps the namespace it opened: one made anew under the same name must count as a change.
    text = f"# namespace {paths.identity}, inode {paths.netns.stat().st_ino}\n{render(addresses, paths.identity)}"
    current = processes.load(paths.pids, PROCESS)
    running = current is not None and processes.is_running(current)
    if running and config.exists() and config.read_text() == text:
        return
    fresh = config.with_suffix(".new")
    fresh.write_text(text)
    run(["haproxy", "-c", "-q", "-f", fresh])
    fresh.replace(config)
    log = paths.logs / "haproxy.log"
    with step(f"relay {', '.join(f'127.0.0.1:{local}' for local in sorted(addresses))}"):
        if running and current is not None:
            # The master starts new workers and lets the old ones finish their connections.
            os.kill(current.pid, signal.SIGUSR2)
        else:
            program = run(["sh", "-c", "command -v haproxy"]).strip()
            processes.ensure(PROCESS, [program, "-W", "-db", "-f", config], pids=paths.pids, log=log)
        wait_for("the relays to listen", lambda: targets.silent(addresses), 15, (log,))


def _cluster_ip(kubectl: Kubectl, target: Target) -> str:
    arguments = ("-n", target.namespace, "get", "service", target.service, "-o", "jsonpath={.spec.clusterIP}")
    address = kubectl(*arguments).strip()
    if not address or address == "None":
        raise ClusterError(f"service {target} has no cluster IP: a headless service cannot be relayed")
    return address
