"""The network namespace of a node and the veth pair that joins it to the host.

Nothing else of the host's network changes.
"""

import json

from .commands import run, succeeds
from .paths import ClusterPaths
from .pki import SERVICE_NETWORK
from .slots import Slot

NODE_LINK = "eth0"


def host_routes() -> list[str]:
    """The IPv4 networks that the host has routes to."""
    routes = json.loads(run(["ip", "-4", "-json", "route", "show", "table", "main"]))
    return [route["dst"].replace("default", "0.0.0.0/0") for route in routes]


def usable(paths: ClusterPaths) -> bool:
    """Whether the namespace can be entered; the file alone may be left over from a killed command."""
    return succeeds(["nsenter", f"--net={paths.netns}", "--", "true"])


def ensure(paths: ClusterPaths, slot: Slot) -> None:
    """Makes the namespace and its veth pair, or repairs what is missing of them."""
    if not usable(paths):
        paths.netns.unlink(missing_ok=True)
        run(["ip", "netns", "add", paths.identity])
    inside = ["ip", "-n", paths.identity]
    if not (succeeds(["ip", "link", "show", slot.host_link]) and succeeds([*inside, "link", "show", NODE_LINK])):
        succeeds(["ip", "link", "delete", slot.host_link])
        run(["ip", "link", "add", slot.host_link, "type", "veth", "peer", "name", NODE_LINK, "netns", paths.identity])
    run(["ip", "address", "replace", f"{slot.host_address}/30", "dev", slot.host_link])
    run(["ip", "link", "set", slot.host_link, "up"])
    run([*inside, "link", "set", "lo", "up"])
    run([*inside, "address", "replace", f"{slot.node_address}/30", "dev", NODE_LINK])
    run([*inside, "link", "set", NODE_LINK, "up"])
    # The node's own processes reach services only if the kernel sees a route before kube-proxy
    # rewrites the address. There is no default route: the world is told unreachable at once.
    run([*inside, "route", "replace", SERVICE_NETWORK, "via", slot.host_address])
    run(["nsenter", f"--net={paths.netns}", "--", "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])


def remove(paths: ClusterPaths, slot: Slot | None) -> None:
    """Removes the namespace and the host's end of the pair, if they are there."""
    if slot is not None:
        succeeds(["ip", "link", "delete", slot.host_link])
    if paths.netns.exists():
        succeeds(["ip", "netns", "delete", paths.identity])
        paths.netns.unlink(missing_ok=True)
