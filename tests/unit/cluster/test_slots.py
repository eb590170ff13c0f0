import ipaddress

import pytest
from localcluster.errors import ClusterError
from localcluster.slots import SLOTS, Slot, choose, valid_claims


def test_a_slot_is_a_pair_of_addresses_in_a_subnet_of_its_own() -> None:
    slot = Slot(7)
    hosts = [str(host) for host in slot.subnet.hosts()]
    assert hosts == [slot.host_address, slot.node_address]
    assert not slot.subnet.overlaps(Slot(8).subnet)


def test_link_names_fit_the_kernels_fifteen_characters() -> None:
    assert len(Slot(SLOTS - 1).host_link) <= 15


def test_the_same_identity_gets_the_same_slot_when_it_is_free() -> None:
    assert choose("memsys-dev-abc123", [], []) == choose("memsys-dev-abc123", [], [])


def test_slots_of_others_and_networks_of_the_host_are_avoided() -> None:
    first = choose("a", [], [])
    second = choose("a", [first.number], [])
    assert second != first
    assert choose("a", [first.number], [str(second.subnet)]) not in (first, second)
    wide = ipaddress.IPv4Network(f"10.213.{first.number}.0/24")
    assert choose("a", [], [str(wide)]) != first


def test_the_default_route_overlaps_nothing() -> None:
    assert choose("a", [], ["0.0.0.0/0"]) == choose("a", [], [])


def test_when_all_are_taken_the_error_says_what_to_do() -> None:
    with pytest.raises(ClusterError, match="cluster down"):
        choose("a", range(SLOTS), [])


def test_claims_of_removed_clusters_do_not_count() -> None:
    claims = {1: "/s/a", 2: "/s/b"}
    assert valid_claims(claims, {"/s/a": True, "/s/b": False}) == {1: "/s/a"}
