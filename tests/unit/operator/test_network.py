"""The policies, evaluated over every pair of pods and every port."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from memsys_operator import names
from memsys_operator.resources import network

from .support import system

PODS = {
    **{f"m/{part}": names.labels("m", part) for part in names.COMPONENTS},
    **{f"other/{part}": names.labels("other", part) for part in names.COMPONENTS},
    "application": {"app": "shop"},
}
PORTS = {"postgres": 5432, "neo4j": 7687, "api": 8000, "mcp": 8080}
POLICIES = network.manifests(system())


def allowed(source: str, target: str, port: int) -> bool:
    """Whether ``m``'s policies let ``source`` reach ``port`` of ``target``, as the NetworkPolicy API defines it."""
    return _leaves(source, target, port) and _enters(source, target, port)


def _selecting(pod: str, direction: str) -> list[dict[str, Any]]:
    chosen = [p for p in POLICIES if p["spec"]["podSelector"]["matchLabels"].items() <= PODS[pod].items()]
    return [p["spec"] for p in chosen if direction in p["spec"]["policyTypes"]]


def _enters(source: str, target: str, port: int) -> bool:
    specs = _selecting(target, "Ingress")
    return not specs or any(_matches(rule, "from", source, port) for spec in specs for rule in spec["ingress"])


def _leaves(source: str, target: str, port: int) -> bool:
    specs = _selecting(source, "Egress")
    return not specs or any(_matches(rule, "to", target, port) for spec in specs for rule in spec.get("egress", []))


def _matches(rule: dict[str, Any], peers: str, pod: str, port: int) -> bool:
    right_port = "ports" not in rule or port in [p["port"] for p in rule["ports"]]
    selectors = [peer["podSelector"]["matchLabels"] for peer in rule.get(peers, [])]
    right_peer = peers not in rule or any(selector.items() <= PODS[pod].items() for selector in selectors)
    return right_port and right_peer


@pytest.mark.parametrize(
    ("source", "target"), list(itertools.product(PODS, [f"m/{part}" for part in names.COMPONENTS]))
)
def test_who_reaches_what(source: str, target: str) -> None:
    part = target.removeprefix("m/")
    for port in (*PORTS.values(), 7474, 22):
        from_database = source in ("m/postgres", "m/neo4j")
        if part in ("postgres", "neo4j"):
            expected = source == "m/api" and port == PORTS[part]
        else:
            expected = port == PORTS[part] and not from_database
        assert allowed(source, target, port) is expected, f"{source} -> {target}:{port}"


def test_databases_open_no_connection_to_anywhere() -> None:
    for source in ("m/postgres", "m/neo4j"):
        assert not [t for t in PODS for port in PORTS.values() if _leaves(source, t, port)]


def test_without_a_graph_there_is_no_policy_for_one() -> None:
    made = [p["metadata"]["name"] for p in network.manifests(system({"graph": {"provider": "none"}}))]
    assert made == ["m-postgres", "m-api", "m-mcp"]
