"""Ways in from outside the cluster, made and taken away; the controllers behind them are missing here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .support import Kubectl, Operator, Refused, System, eventually, operator_writes

HOST = "memory.example.com"


def hosts_of(system: System) -> str | None:
    (container,) = system.wait_child("deployment", "mcp")["spec"]["template"]["spec"]["containers"]
    return next((e["value"] for e in container["env"] if e["name"] == "MEMSYS_MCP_ALLOWED_HOSTS"), None)


@pytest.fixture
def ingress_class(admin: Kubectl) -> Iterator[Callable[[], None]]:
    """Makes the IngressClass nginx when called."""
    document = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IngressClass",
        "metadata": {"name": "nginx"},
        "spec": {"controller": "tests.memsys.dev/none"},
    }
    yield lambda: admin.apply(document)
    admin("delete", "ingressclass", "nginx", "--ignore-not-found")


def test_an_ingress_comes_heals_changes_and_goes_with_the_spec(
    operator: Operator, system: System, ingress_class: Callable[[], None]
) -> None:
    system.apply()
    system.make_all_ready()
    assert system.kubectl.list("ingress") == []
    assert "mcpExternal" not in system.object()["status"]["endpoints"]

    system.kubectl("create", "secret", "generic", "cert", "--from-literal=tls.crt=x", "--from-literal=tls.key=y")
    system.apply({"expose": {"mcp": {"host": HOST}, "className": "nginx", "tls": {"secretName": "cert"}}})
    assert "IngressClass nginx does not exist" in system.wait("Exposed", "False", "IngressClassNotFound")["message"]
    ingress_class()
    assert "whether a controller serves it" in system.wait("Exposed", "True", "RouteInPlace")["message"]
    ingress = system.wait_child("ingress", "mcp")
    system.kubectl.patch_status("ingress", "m-mcp", {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}})
    eventually("routed", lambda: "are routed to this system" in system.condition("Exposed").get("message", ""))
    assert ingress["spec"]["ingressClassName"] == "nginx"
    assert ingress["spec"]["tls"] == [{"hosts": [HOST], "secretName": "cert"}]
    assert system.object()["status"]["endpoints"]["mcpExternal"] == f"https://{HOST}/mcp"
    assert hosts_of(system) == HOST

    system.kubectl("delete", "ingress", "m-mcp", "--wait=false")
    eventually("the Ingress back", lambda: system.wait_child("ingress", "mcp")["metadata"]["uid"] != _uid(ingress))

    system.apply({"expose": {"api": {"host": HOST}}})
    eventually("the API's Ingress", lambda: system.child("ingress", "api"))
    eventually("the MCP server's Ingress gone", lambda: system.child("ingress", "mcp") is None)
    system.apply({})
    eventually("no Ingress left", lambda: system.kubectl.list("ingress") == [])
    eventually("no condition left", lambda: system.condition("Ready") and not system.condition("Exposed"))
    assert hosts_of(system) is None


def _uid(obj: dict[str, Any]) -> str:
    return str(obj["metadata"]["uid"])


def test_a_missing_certificate_stands_in_the_condition_and_the_system_serves_on(
    operator: Operator, system: System
) -> None:
    system.apply({"expose": {"mcp": {"host": HOST}, "tls": {"secretName": "cert"}}})
    system.make_all_ready()
    assert "Secret cert" in system.wait("Exposed", "False", "SecretNotFound")["message"]


def test_a_route_waits_for_the_gateway_api_and_then_for_its_gateway(
    operator: Operator, system: System, gateway_api: Any, audit_log: Path
) -> None:
    system.apply({"expose": {"mcp": {"host": HOST}, "gateway": {"name": "public", "sectionName": "https"}}})
    system.make_all_ready()
    assert "install the Gateway API" in system.wait("Exposed", "False", "GatewayAPIMissing")["message"]

    gateway_api()
    system.wait("Exposed", "False", "GatewayNotFound")
    listener = {"name": "https", "protocol": "HTTPS", "port": 443}
    system.kubectl.apply(
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "Gateway",
            "metadata": {"name": "public"},
            "spec": {"gatewayClassName": "any", "listeners": [listener]},
        }
    )
    system.wait("Exposed", "False", "NotAccepted")
    route = system.wait_child("httproute", "mcp")
    assert route["spec"]["hostnames"] == [HOST]
    condition = {"type": "Accepted", "status": "True", "reason": "Accepted", "message": ""}
    system.kubectl.patch_status("httproute", "m-mcp", {"parents": [{"conditions": [condition]}]})
    system.wait("Exposed", "True")
    assert system.object()["status"]["endpoints"]["mcpExternal"] == f"https://{HOST}/mcp"

    def writes() -> int:
        return len([address for _, address in operator_writes(audit_log) if "/httproutes/" in address])

    before, passes = writes(), operator.passes()
    assert before, "the audit log shows the route's creation"
    eventually("three passes more", lambda: operator.passes() >= passes + 3)
    assert writes() == before, "applied again without a difference"
    system.apply({})
    eventually("the route gone", lambda: system.child("httproute", "mcp") is None)


@pytest.fixture
def gateway_api(admin: Kubectl) -> Iterator[Any]:
    """Installs the kinds of the Gateway API, as far as the operator uses them, when called."""
    definitions = [_definition("Gateway", "gateways"), _definition("HTTPRoute", "httproutes")]

    def install() -> None:
        for definition in definitions:
            admin.apply(definition)
            admin("wait", "--for=condition=established", f"crd/{definition['metadata']['name']}", "--timeout=30s")

    yield install
    for definition in definitions:
        admin("delete", "crd", definition["metadata"]["name"], "--ignore-not-found", "--wait=false")


def _definition(kind: str, plural: str) -> dict[str, Any]:
    """Stands in for the Gateway API's own definition: the same names, any content."""
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": anything, "status": anything}}},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{plural}.gateway.networking.k8s.io",
            "annotations": {"api-approved.kubernetes.io": "https://github.com/kubernetes-sigs/gateway-api/pull/1"},
        },
        "spec": {
            "group": "gateway.networking.k8s.io",
            "scope": "Namespaced",
            "names": {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()},
            "versions": [version],
        },
    }


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({}, "names nothing to expose"),
    "one host for both": ({"mcp": {"host": HOST}, "api": {"host": HOST}}, "host names of their own"),
    "two ways": ({"mcp": {"host": HOST}, "className": "nginx", "gateway": {"name": "g"}}, "remove one of them"),
    "a certificate for a gateway": (
        {"mcp": {"host": HOST}, "gateway": {"name": "g"}, "tls": {"secretName": "s"}},
        "belongs to its listener",
    ),
    "two certificates": (
        {"mcp": {"host": HOST}, "tls": {"secretName": "s", "certManagerIssuer": {"name": "i"}}},
        "exactly one",
    ),
    "no certificate": ({"mcp": {"host": HOST}, "tls": {}}, "exactly one"),
    "a host that is no name": ({"mcp": {"host": "https://memory.example.com"}}, "spec.expose.mcp.host"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_exposed_is_refused_with_field_and_remedy(system: System, case: str) -> None:
    spec, words = REFUSED[case]
    with pytest.raises(Refused) as refused:
        system.apply({"expose": spec})
    assert words in " ".join(str(refused.value).split())
