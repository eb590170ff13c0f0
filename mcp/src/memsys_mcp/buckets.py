"""Token buckets: how often each client may do what costs others. Pure but for the clock it is given."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import ip_address, ip_network

PER_MINUTE = 60
"""Well below the API's ``MEMSYS_REFUSALS_PER_MINUTE``, of 300: to it, all clients have this server's address."""
REMEMBERED = 10_000
IPV6_PREFIX = 64  # what one client has at its disposal


class TokenBuckets:
    """A token bucket for each client, by address, of a minute's worth. They are this replica's own."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = PER_MINUTE / 60
        self._clock = clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, address: str) -> float:
        """Seconds until the client has a token; 0: it has one."""
        return max(0.0, (1 - self._tokens(client_of(address))) / self._per_second)

    def take(self, address: str) -> None:
        """Take a token, also where there is none. Of the clients, those that took last are remembered."""
        client = client_of(address)
        self._left[client] = (self._tokens(client) - 1, self._clock())
        self._left.move_to_end(client)
        if len(self._left) > REMEMBERED:
            self._left.popitem(last=False)

    def _tokens(self, client: str) -> float:
        left, at = self._left.get(client, (float(PER_MINUTE), self._clock()))
        return min(float(PER_MINUTE), left + (self._clock() - at) * self._per_second)


def client_of(address: str) -> str:
    """Whom an address stands for: itself, or in IPv6 its network. What is no address (a Unix socket) stands for one."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    mapped = found.ipv4_mapped if found.version == 6 else None
    if mapped is not None or found.version == 4:
        return str(mapped or found)
    return str(ip_network((found, IPV6_PREFIX), strict=False))
