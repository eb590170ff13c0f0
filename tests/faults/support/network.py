"""A network of the test's own: every node in a network namespace, all on one bridge, and what can go wrong with it."""

from __future__ import annotations

import ctypes
import json
import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Network, ip_network

POOL = ip_network("10.213.0.0/16")
NOBODY = "02:00:00:00:00:99"  # no interface has this address: what is sent to it is lost without a word
_CLONE_NEWNET = 0x40000000


@dataclass(frozen=True)
class Node:
    """A place for one server."""

    namespace: str
    link: str
    address: str

    def enter(self) -> None:
        """Move the calling process in; for a new one, before its program begins. It ends when the test run does."""
        libc = ctypes.CDLL(None, use_errno=True)
        handle = os.open(f"/run/netns/{self.namespace}", os.O_RDONLY)
        if libc.setns(handle, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"cannot enter network namespace {self.namespace}")
        os.close(handle)
        libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


@dataclass
class Network:
    """The host end is the bridge itself: tests reach every node, and every node every other."""

    name: str
    addresses: IPv4Network
    nodes: list[Node] = field(default_factory=list)

    def node(self) -> Node:
        """A new node."""
        number = len(self.nodes)
        made = Node(f"{self.name}-{number}", f"{self.name}v{number}", str(self.addresses[number + 2]))
        inside = ["-n", made.namespace]
        _ip("netns", "add", made.namespace)
        self.nodes.append(made)
        _ip("link", "add", made.link, "type", "veth", "peer", "name", "eth0", "netns", made.namespace)
        _ip("link", "set", made.link, "master", self.name, "up")
        _ip(*inside, "link", "set", "lo", "up")
        _ip(*inside, "address", "add", f"{made.address}/{self.addresses.prefixlen}", "dev", "eth0")
        _ip(*inside, "link", "set", "eth0", "up")
        return made

    @contextmanager
    def unplugged(self, node: Node) -> Iterator[None]:
        """Take a node's cable out: nobody reaches it, and nobody is told so."""
        _ip("link", "set", node.link, "down")
        try:
            yield
        finally:
            _ip("link", "set", node.link, "up")

    @contextmanager
    def parted(self, one: Node, other: Node) -> Iterator[None]:
        """Lose everything between two nodes; both reach all others."""
        pairs = ((one, other), (other, one))
        for here, there in pairs:
            target = [there.address, "dev", "eth0"]
            _ip("-n", here.namespace, "neighbour", "replace", *target, "lladdr", NOBODY, "nud", "permanent")
        try:
            yield
        finally:
            for here, there in pairs:
                _ip("-n", here.namespace, "neighbour", "delete", there.address, "dev", "eth0")


@contextmanager
def network() -> Iterator[Network]:
    """A network that goes when its user goes. Needs root and iproute2."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        raise RuntimeError("the fault tests make network namespaces and mounts: run them as root, with iproute2")
    made = Network(f"mf{secrets.token_hex(3)}", _free())
    _ip("link", "add", made.name, "type", "bridge")
    try:
        _ip("address", "add", f"{made.addresses[1]}/{made.addresses.prefixlen}", "dev", made.name)
        _ip("link", "set", made.name, "up")
        yield made
    finally:
        for node in made.nodes:
            subprocess.run(["ip", "link", "delete", node.link], check=False, capture_output=True)
            _ip("netns", "delete", node.namespace)
        _ip("link", "delete", made.name)


def _free() -> IPv4Network:
    """A network that this machine has no route to yet."""
    routes = json.loads(subprocess.run(["ip", "-json", "route"], check=True, capture_output=True).stdout)
    taken = [ip_network(route["dst"]) for route in routes if route["dst"] != "default"]
    free = [one for one in POOL.subnets(new_prefix=24) if not any(one.overlaps(other) for other in taken)]
    return secrets.choice(free)


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
