"""Where webhooks may not go: rules on resolved addresses, so that no name can lead inside. Pure.

What is not globally reachable by IANA's special-purpose registries (RFC 6890) is refused: private, loopback,
link-local, shared (CGNAT), reserved, multicast; so are metadata services on addresses that look public. An IPv6
address that a host or a public translator takes to the IPv4 address in its last bits may be called where that one may
be. Other forms that carry one (6to4, IPv4-compatible, local NAT64, which may keep it elsewhere) are not public.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_GLOBAL_UNICAST = IPv6Network("2000::/3")  # RFC 4291; everything outside it is special
_SPECIAL = (
    IPv4Network("192.0.0.0/24"),  # IETF protocol assignments; a cloud's metadata service
    IPv4Network("192.88.99.0/24"),  # 6to4 relays
    IPv4Network("168.63.129.16/32"),  # Azure's host, from inside
    IPv6Network("2001::/23"),  # IETF protocol assignments, Teredo among them
    IPv6Network("2001:db8::/32"),
    IPv6Network("2002::/16"),  # 6to4
    IPv6Network("3fff::/20"),  # documentation, RFC 9637
)
_LAST_BITS = (
    IPv6Network("::ffff:0:0/96"),  # IPv4-mapped
    IPv6Network("64:ff9b::/96"),  # NAT64, RFC 6052
)


def refused(addresses: Iterable[str], allowed: Sequence[Network] = (), *, only_allowed: bool = False) -> str | None:
    """The first of a name's addresses that must not be connected to; ``None``: all may be.

    One bad address refuses the name: which of them is used is otherwise up to whoever answers for it.
    ``only_allowed``: refuse what is not in one of the allowed networks, public or not.
    """
    for text in addresses:
        if not _permitted(text, allowed, only_allowed):
            return text
    return None


def _permitted(text: str, allowed: Sequence[Network], only_allowed: bool) -> bool:
    try:
        address = ip_address(text)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return False  # a zone is a link of this machine
    judged = _carried(address) or address
    return _within(address, allowed) or _within(judged, allowed) or (not only_allowed and is_public(judged))


def _within(address: Address, networks: Sequence[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


def _carried(address: Address) -> IPv4Address | None:
    """The IPv4 address that an IPv6 one leads to."""
    if isinstance(address, IPv6Address) and _within(address, _LAST_BITS):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return None


def is_public(address: Address) -> bool:
    """Whether anyone on the Internet may have this address, and nobody near."""
    if not address.is_global or address.is_multicast or _within(address, _SPECIAL):
        return False
    return isinstance(address, IPv4Address) or address in _GLOBAL_UNICAST
