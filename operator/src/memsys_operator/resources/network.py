"""Who may talk to whom. Databases accept their own API alone and open no connection themselves. Pure."""

from __future__ import annotations

from memsys_operator import names
from memsys_operator.observed import Manifest
from memsys_operator.resources import pods
from memsys_operator.spec import System


def manifests(system: System) -> list[Manifest]:
    spec = system.spec
    policies = [
        _database(system, names.POSTGRES, spec.postgres.port),
        _server(system, names.API, spec.api.port),
        _server(system, names.MCP, spec.mcp.port),
    ]
    if system.runs_neo4j:
        policies.append(_database(system, names.NEO4J, spec.graph.ports.bolt))
    return policies


def _database(system: System, part: str, port: int) -> Manifest:
    """Ingress from the system's API pods on one port; no egress at all."""
    api = {"podSelector": {"matchLabels": names.selector(system.name, names.API)}}
    return _policy(
        system,
        part,
        policyTypes=["Ingress", "Egress"],
        ingress=[{"from": [api], "ports": [{"port": port, "protocol": "TCP"}]}],
        egress=[],
    )


def _server(system: System, part: str, port: int) -> Manifest:
    """Ingress on the one served port: the API (its own MCP server, the operator, applications) and the MCP
    server ask every caller for a key. Egress is open, since embedders live anywhere."""
    return _policy(system, part, policyTypes=["Ingress"], ingress=[{"ports": [{"port": port, "protocol": "TCP"}]}])


def _policy(system: System, part: str, **spec: object) -> Manifest:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": pods.metadata(system, names.component(system.name, part), part),
        # Both directions are stated, so that what is added to either is taken back.
        "spec": {
            "podSelector": {"matchLabels": names.selector(system.name, part)},
            "ingress": [],
            "egress": [],
            **spec,
        },
    }
