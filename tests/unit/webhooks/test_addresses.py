"""Which addresses webhooks may not call, in whatever form they come."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memsys_api.sinks.webhooks.addresses import refused

INSIDE = [
    IPv4Network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4", "168.63.129.16/32",
    )
]  # fmt: skip
inside = st.sampled_from(INSIDE).flatmap(
    lambda network: st.integers(0, network.num_addresses - 1).map(lambda n: network.network_address + n)
)
DISGUISES = {
    "as it is": str,
    "mapped": lambda a: f"::ffff:{a}",
    "compatible": lambda a: str(IPv6Address(int(a))),
    "NAT64": lambda a: str(IPv6Address(int(IPv6Address("64:ff9b::")) | int(a))),
    "local NAT64": lambda a: str(IPv6Address(int(IPv6Address("64:ff9b:1::")) | int(a))),
    "6to4": lambda a: str(IPv6Address(0x2002 << 112 | int(a) << 80 | 1)),
}

LEAD_THERE = {"as it is", "mapped", "NAT64"}


@pytest.mark.parametrize("disguise", DISGUISES)
@given(address=inside)
def test_nothing_inside_is_reached_in_any_disguise(disguise: str, address: IPv4Address) -> None:
    shown = DISGUISES[disguise](address)
    assert refused([shown]) == shown
    assert refused(["8.8.8.8", shown]) == shown  # one bad address among good ones is enough
    assert refused([shown], [ip_network(shown)]) is None
    assert (refused([shown], [ip_network(address)]) is None) == (disguise in LEAD_THERE)
    assert refused([shown], [ip_network("203.0.113.0/24")]) == shown


@pytest.mark.parametrize(
    "address",
    [
        "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "2001::1",
        "2001:db8::1", "100::1", "5f00::1", "3fff::1", "not an address", "", "::8.8.8.8", "64:ff9b:1::808:808",
        "64:ff9b:1:a00:0:100:808:808", "2002:808:808::1", "2002:808:808::a00:1",
    ],
)  # fmt: skip
def test_special_addresses_of_ipv6_are_refused(address: str) -> None:
    assert refused([address]) == address


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "93.184.216.34", "2606:4700::1111", "2a00:1450:4001::1", "::ffff:8.8.8.8", "64:ff9b::808:808"],
)
def test_public_addresses_may_be_called_and_plainly_only_where_that_is_allowed(address: str) -> None:
    assert refused([address]) is None
    assert refused([address], only_allowed=True) == address


def test_an_allowed_network_is_allowed_plainly_too() -> None:
    allowed = [ip_network("10.96.0.0/12")]
    assert refused(["10.96.0.1"], allowed, only_allowed=True) is None
    assert refused(["10.95.255.255"], allowed) == "10.95.255.255"


OUTSIDE_GLOBAL_UNICAST = st.integers(0, 2**128 - 1).filter(lambda n: n >> 125 != 1 and n >> 32 != 0)


@given(OUTSIDE_GLOBAL_UNICAST.map(IPv6Address))
def test_of_ipv6_only_global_unicast_is_public(address: IPv6Address) -> None:
    if address.ipv4_mapped is None and address not in ip_network("64:ff9b::/32"):
        assert refused([str(address)]) == str(address)
