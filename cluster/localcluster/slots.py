"""Which small network joins the host and a cluster's namespace. Pure but for reading the claims.

Slot N is the subnet 10.213.N.0/30: .1 is the host's end of the veth pair, .2 the node's. Pod and
service networks live inside the namespace alone, so every cluster uses the same ones.
"""

import hashlib
import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import ClusterError
from .locks import exclusive
from .paths import RUN_DIR

SLOTS = 200


@dataclass(frozen=True)
class Slot:
    """One veth pair and its two addresses."""

    number: int

    @property
    def subnet(self) -> ipaddress.IPv4Network:
        return ipaddress.IPv4Network(f"10.213.{self.number}.0/30")

    @property
    def host_address(self) -> str:
        return f"10.213.{self.number}.1"

    @property
    def node_address(self) -> str:
        return f"10.213.{self.number}.2"

    @property
    def host_link(self) -> str:
        return f"memsys{self.number}"


def choose(identity: str, taken: Iterable[int], routes: Iterable[str]) -> Slot:
    """The first free slot, starting from one that the identity prefers, so that it is the same after a reboot.

    Args:
        taken: slots of other clusters.
        routes: networks the host has routes to; a slot may not overlap any but the default route.

    Raises:
        ClusterError: all slots are in use.
    """
    occupied = set(taken)
    networks = [network for network in map(ipaddress.IPv4Network, routes) if network.prefixlen > 0]
    preferred = int(hashlib.sha256(identity.encode()).hexdigest(), 16) % SLOTS
    for offset in range(SLOTS):
        slot = Slot((preferred + offset) % SLOTS)
        if slot.number not in occupied and not any(slot.subnet.overlaps(network) for network in networks):
            return slot
    raise ClusterError(f"all {SLOTS} networks 10.213.0-{SLOTS - 1}.0/30 are in use: end a cluster with `cluster down`")


def valid_claims(claims: Mapping[int, str], exists: Mapping[str, bool]) -> dict[int, str]:
    """Claims whose cluster still has its state folder (slot -> folder)."""
    return {number: root for number, root in claims.items() if exists.get(root, False)}


def claim(identity: str, root: Path, held: int | None, routes: Iterable[str]) -> Slot:
    """Takes a slot for the cluster at `root`, or confirms the one it holds.

    Raises:
        ClusterError: none is free, or the held one went to another cluster (possible after a reboot).
    """
    folder = RUN_DIR / "slots"
    with exclusive(RUN_DIR / "slots.lock", "the list of cluster networks"):
        folder.mkdir(exist_ok=True)
        claims = {int(path.name): path.read_text() for path in folder.iterdir()}
        valid = valid_claims(claims, {path: Path(path).exists() for path in claims.values()})
        others = {number: path for number, path in valid.items() if path != str(root)}
        if held is None:
            slot = choose(identity, others, routes)
        elif held in others:
            raise ClusterError(f"network slot {held} now belongs to {others[held]}: run `cluster down` and `up` again")
        else:
            slot = Slot(held)
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        (folder / str(slot.number)).write_text(str(root))
    return slot


def release(root: Path) -> None:
    """Gives back whatever slot the cluster at `root` holds."""
    with exclusive(RUN_DIR / "slots.lock", "the list of cluster networks"):
        for path in (RUN_DIR / "slots").glob("*"):
            if path.read_text() == str(root):
                path.unlink()
