"""`cluster expose`: HAProxy on 127.0.0.1 whose servers are cluster addresses inside the node's namespace."""

import json
import os
import re
import signal
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from . import processes
from .commands import run
from .errors import ClusterError
from .kube import Kubectl
from .paths import ClusterPaths
from .prerequisites import RELAY, require
from .progress import say, step, wait_for

MAPPING = re.compile(r"^(?P<namespace>[a-z0-9-]+)/(?P<service>[a-z0-9-]+):(?P<port>\d+)=(?P<local>\d+)$")
PROCESS = "haproxy"


@dataclass(frozen=True)
class Target:
    """A port of a service."""

    namespace: str
    service: str
    port: int

    def __str__(self) -> str:
        return f"{self.namespace}/{self.service}:{self.port}"


def parse_mapping(text: str) -> tuple[int, Target]:
    """`NS/SVC:PORT=LOCALPORT` -> (local port, target).

    Raises:
        ClusterError: another form, or a port outside 1-65535.
    """
    found = MAPPING.match(text)
    if not found or not all(1 <= int(found[part]) <= 65535 for part in ("port", "local")):
        raise ClusterError(f"{text!r}: expected NAMESPACE/SERVICE:PORT=LOCALPORT, e.g. default/m-api:8000=8000")
    return int(found["local"]), Target(found["namespace"], found["service"], int(found["port"]))


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


def expose(paths: ClusterPaths, mappings: Iterable[str]) -> None:
    """Adds relays (a local port given again is replaced) and prints all of them.

    Raises:
        ClusterError: a mapping is malformed, a service is missing, or a local port is taken.
    """
    fresh = dict(map(parse_mapping, mappings))
    kubectl = Kubectl(paths.kubeconfig)
    for target in fresh.values():
        _cluster_ip(kubectl, target)
    kept = _load(paths)
    for local in sorted(set(fresh) - set(kept)):
        _check_free(local)
    paths.relays.write_text(json.dumps({local: str(target) for local, target in {**kept, **fresh}.items()}))
    ensure(paths)
    for local, target in sorted(_load(paths).items()):
        print(f"127.0.0.1:{local} -> {target}")


def ensure(paths: ClusterPaths) -> None:
    """Makes the recorded relays run, with the addresses that the services have now."""
    wanted = _load(paths)
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
    text = render(addresses, paths.identity)
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
        wait_for("the relays to listen", lambda: _silent(addresses), 15, (log,))


def _silent(ports: Iterable[int]) -> str | None:
    for port in ports:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError as error:
            return f"127.0.0.1:{port}: {error.strerror}"
    return None


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ClusterError(f"cannot relay 127.0.0.1:{port}: {error.strerror}; choose another local port") from error


def _cluster_ip(kubectl: Kubectl, target: Target) -> str:
    arguments = ("-n", target.namespace, "get", "service", target.service, "-o", "jsonpath={.spec.clusterIP}")
    address = kubectl(*arguments).strip()
    if not address or address == "None":
        raise ClusterError(f"service {target} has no cluster IP: a headless service cannot be relayed")
    return address


def _load(paths: ClusterPaths) -> dict[int, Target]:
    try:
        stored = json.loads(paths.relays.read_text())
    except FileNotFoundError:
        return {}
    return dict(parse_mapping(f"{target}={local}") for local, target in stored.items())
