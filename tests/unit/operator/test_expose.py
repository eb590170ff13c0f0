from __future__ import annotations

from typing import Any

import pytest
from fastapi.routing import iter_route_contexts

from memsys_api.app import create
from memsys_api.settings import Settings as ApiSettings
from memsys_operator import conditions
from memsys_operator.conditions import Findings
from memsys_operator.observed import Manifest, Observed
from memsys_operator.plan import Delete, plan
from memsys_operator.resources import expose
from memsys_operator.spec import System

from .support import carry_out, desired, find, memory_system, secret, seen, system

HOST = "memory.example.com"
BOTH = {"mcp": {"host": HOST}, "api": {"host": "api.example.com"}}
GATEWAY = {"mcp": {"host": HOST}, "gateway": {"name": "public", "namespace": "edge", "sectionName": "https"}}


def exposed(**spec: Any) -> System:
    return system({"expose": spec})


def gateway(*listeners: tuple[str, str]) -> Manifest:
    return {"spec": {"listeners": [{"name": name, "protocol": protocol} for name, protocol in listeners]}}


def routed(target: System, **more: Any) -> Observed:
    """The cluster once the ways in have been made."""
    observed = Observed(http_routes=True, **more)
    return seen(*expose.manifests(target, observed), http_routes=True, **more)


def said(target: System, observed: Observed) -> str | None:
    problem = expose.problem(target, observed)
    return problem.reason if problem is not None else None


def test_nothing_is_exposed_by_default() -> None:
    assert expose.manifests(system(), Observed(http_routes=True)) == []
    assert not [m for m in desired(system()) if m["kind"] in ("Ingress", "HTTPRoute")]
    assert expose.urls(system(), Observed()) == {}


def test_an_ingress_leads_to_the_transports_of_the_mcp_server_and_not_to_its_metrics() -> None:
    (ingress,) = expose.manifests(exposed(mcp={"host": HOST}, className="nginx"), Observed())
    assert (ingress["kind"], ingress["metadata"]["name"]) == ("Ingress", "m-mcp")
    assert ingress["spec"]["ingressClassName"] == "nginx"
    assert "tls" not in ingress["spec"]
    (rule,) = ingress["spec"]["rules"]
    assert rule["host"] == HOST
    assert {p["path"] for p in rule["http"]["paths"]} == {"/mcp", "/p", "/sse", "/messages", "/.well-known"}
    service = find(desired(exposed(mcp={"host": HOST})), "Service", "m-mcp")
    for path in rule["http"]["paths"]:
        assert path["backend"]["service"] == {"name": "m-mcp", "port": {"name": service["spec"]["ports"][0]["name"]}}


def test_of_the_api_everything_is_reached_but_what_asks_for_no_key() -> None:
    described = create(ApiSettings(DATABASE_URL="postgresql://nowhere/memsys", MEMSYS_ADMIN_KEY="k" * 20))
    offered = {f"/{(route.path or '').split('/')[1]}" for route in iter_route_contexts(described.routes)}
    assert offered - set(expose.PATHS["api"]) == {"/metrics", "/healthz", "/readyz"}
    assert set(expose.PATHS["api"]) <= offered, "nothing is named that is not there"


def test_a_rule_of_a_route_holds_no_more_matches_than_the_gateway_api_allows() -> None:
    target = exposed(api={"host": HOST}, gateway={"name": "public"})
    (route,) = expose.manifests(target, Observed(http_routes=True))
    rules = route["spec"]["rules"]
    assert all(len(rule["matches"]) <= 8 for rule in rules)
    named = [match["path"]["value"] for rule in rules for match in rule["matches"]]
    assert named == list(expose.PATHS["api"])


def test_every_exposed_part_has_a_way_in_of_its_own() -> None:
    made = expose.manifests(exposed(**BOTH), Observed())
    hosts = {m["metadata"]["name"]: m["spec"]["rules"][0]["host"] for m in made}
    assert hosts == {"m-mcp": HOST, "m-api": "api.example.com"}


def test_streams_outlive_the_time_outs_of_common_controllers_and_the_users_annotations_win() -> None:
    key = "nginx.ingress.kubernetes.io/proxy-read-timeout"
    (plain,) = expose.manifests(exposed(mcp={"host": HOST}), Observed())
    assert int(plain["metadata"]["annotations"][key]) >= 3600
    (own,) = expose.manifests(exposed(mcp={"host": HOST}, annotations={key: "60", "a/b": "c"}), Observed())
    assert (own["metadata"]["annotations"][key], own["metadata"]["annotations"]["a/b"]) == ("60", "c")


@pytest.mark.parametrize(
    ("issuer", "annotation"),
    [({"name": "le"}, "cert-manager.io/cluster-issuer"), ({"name": "le", "kind": "Issuer"}, "cert-manager.io/issuer")],
)
def test_cert_manager_is_asked_for_a_certificate_for_each_host(issuer: dict[str, str], annotation: str) -> None:
    made = expose.manifests(exposed(**BOTH, tls={"certManagerIssuer": issuer}), Observed())
    for ingress in made:
        assert ingress["metadata"]["annotations"][annotation] == "le"
        (tls,) = ingress["spec"]["tls"]
        assert tls == {
            "hosts": [ingress["spec"]["rules"][0]["host"]],
            "secretName": f"{ingress['metadata']['name']}-tls",
        }


def test_a_missing_certificate_is_named() -> None:
    own = exposed(mcp={"host": HOST}, tls={"secretName": "cert"})
    problem = expose.problem(own, routed(own, references={"cert": None}))
    assert problem is not None
    assert problem.reason == "SecretNotFound"
    assert "Secret cert" in problem.message
    assert said(own, routed(own, references={"cert": secret("cert", {"tls.crt": "x"})})) is None
    ordered = exposed(mcp={"host": HOST}, tls={"certManagerIssuer": {"name": "le"}})
    assert said(ordered, routed(ordered, references={"m-mcp-tls": None})) == "CertificatePending"


def published(observed: Observed) -> Observed:
    """A controller serves every Ingress."""
    for obj in observed.objects.values():
        obj["status"] = {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}
    return observed


def test_a_class_that_does_not_exist_is_named_unless_a_controller_serves_the_ingress_all_the_same() -> None:
    target = exposed(**BOTH, className="no-such-class")
    problem = expose.problem(target, routed(target, ingress_class=False))
    assert problem is not None
    assert problem.reason == "IngressClassNotFound"
    assert "spec.expose.className: IngressClass no-such-class does not exist" in problem.message
    for known in (True, None):
        assert said(target, routed(target, ingress_class=known)) is None
    assert said(target, published(routed(target, ingress_class=False))) is None


def test_requests_are_said_to_be_routed_once_a_controller_has_published_an_address() -> None:
    target = exposed(**BOTH)

    def told(observed: Observed) -> str:
        status = conditions.status(memory_system({"expose": BOTH}), target, observed, Findings(), "now")
        (condition,) = [c for c in status["conditions"] if c["type"] == "Exposed"]
        assert (condition["status"], condition["reason"]) == ("True", "RouteInPlace")
        return str(condition["message"])

    assert "whether a controller serves it is not known" in told(routed(target))
    assert "are routed to this system" in told(published(routed(target)))


def test_an_http_route_hangs_on_the_listener_and_never_times_out() -> None:
    target = exposed(**GATEWAY)
    (route,) = expose.manifests(target, Observed(http_routes=True))
    assert (route["kind"], route["metadata"]["name"]) == ("HTTPRoute", "m-mcp")
    assert route["spec"]["parentRefs"] == [{"name": "public", "namespace": "edge", "sectionName": "https"}]
    assert route["spec"]["hostnames"] == [HOST]
    (rule,) = route["spec"]["rules"]
    assert rule["timeouts"] == {"request": "0s"}
    assert rule["backendRefs"] == [{"name": "m-mcp", "port": 8080}]


@pytest.mark.parametrize(
    ("spec", "expected"), [({}, False), ({"expose": {"api": {"host": HOST}}}, False), ({"expose": BOTH}, True)]
)
def test_traefik_is_told_to_call_the_service_whose_affinity_keeps_a_client_with_its_replica(
    spec: dict[str, Any], expected: bool
) -> None:
    annotations = find(desired(system(spec)), "Service", "m-mcp")["metadata"].get("annotations", {})
    read = ("traefik.ingress.kubernetes.io/service.nativelb", "traefik.io/service.nativelb")
    assert [annotations.get(name) for name in read] == (["true", "true"] if expected else [None, None])
    assert "annotations" not in find(desired(system(spec)), "Service", "m-api")["metadata"]


def test_without_the_gateway_api_no_route_is_made_and_the_reason_is_told() -> None:
    target = exposed(**GATEWAY)
    assert expose.manifests(target, Observed()) == []
    assert said(target, Observed()) == "GatewayAPIMissing"


def test_what_a_route_waits_for_is_told_in_the_order_in_which_it_is_mended() -> None:
    target = exposed(**GATEWAY)
    public = gateway(("https", "HTTPS"), ("http", "HTTP"))
    assert said(target, Observed(http_routes=True)) == "GatewayNotFound"
    assert said(target, Observed(http_routes=True, gateway=gateway(("http", "HTTP")))) == "ListenerNotFound"
    assert said(target, Observed(http_routes=True, gateway=public)) == "NotCreated"
    observed = routed(target, gateway=public)
    assert said(target, observed) == "NotAccepted"
    route = observed.objects["HTTPRoute", "m-mcp"]
    refused = {"type": "Accepted", "status": "False", "reason": "NotAllowedByListeners", "message": "no"}
    route["status"] = {"parents": [{"conditions": [refused]}]}
    assert said(target, observed) == "NotAllowedByListeners"
    route["status"] = {"parents": [{"conditions": [{"type": "Accepted", "status": "True"}]}]}
    assert said(target, observed) is None


@pytest.mark.parametrize(
    ("spec", "listener", "scheme"),
    [
        ({}, None, "http"),
        ({"tls": {"secretName": "cert"}}, None, "https"),
        ({"gateway": {"name": "g"}}, ("any", "HTTPS"), "https"),
        ({"gateway": {"name": "g"}}, ("any", "HTTP"), "http"),
    ],
)
def test_the_external_addresses_have_the_scheme_that_is_served(
    spec: dict[str, Any], listener: tuple[str, str] | None, scheme: str
) -> None:
    observed = Observed(gateway=gateway(listener)) if listener else Observed()
    assert expose.urls(exposed(**BOTH, **spec), observed) == {
        "apiExternal": f"{scheme}://api.example.com",
        "mcpExternal": f"{scheme}://{HOST}/mcp",
    }


def test_the_mcp_server_knows_the_names_it_is_called_by() -> None:
    target = system({"expose": {"mcp": {"host": HOST}}, "mcp": {"allowedHosts": ["*.example.org", HOST]}})
    (container,) = find(desired(target), "Deployment", "m-mcp")["spec"]["template"]["spec"]["containers"]
    env = {entry["name"]: entry["value"] for entry in container["env"]}
    assert env["MEMSYS_MCP_ALLOWED_HOSTS"] == f"*.example.org,{HOST}"
    (container,) = find(desired(system()), "Deployment", "m-mcp")["spec"]["template"]["spec"]["containers"]
    assert "MEMSYS_MCP_ALLOWED_HOSTS" not in {entry["name"] for entry in container["env"]}


def test_the_policies_let_an_ingress_controller_of_any_namespace_in() -> None:
    manifests = desired(exposed(**BOTH))
    for name, port in (("m-mcp", 8080), ("m-api", 8000)):
        policy = find(manifests, "NetworkPolicy", name)["spec"]
        assert policy["ingress"] == [{"ports": [{"port": port, "protocol": "TCP"}]}], "any peer, this port alone"


def test_a_way_in_that_is_no_longer_asked_for_is_closed() -> None:
    for target in (exposed(**BOTH), exposed(**GATEWAY)):
        before = carry_out(plan(expose.manifests(target, Observed(http_routes=True)), Observed()), Observed())
        actions = plan([], before)
        assert actions
        assert all(isinstance(action, Delete) for action in actions)


def test_the_condition_stands_only_where_something_is_exposed() -> None:
    def told(spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
        target = system(spec)
        status = conditions.status(memory_system(spec), target, routed(target), Findings(), "2026-01-01T00:00:00Z")
        assert status["endpoints"].get("mcpExternal") == (f"http://{HOST}/mcp" if spec else None)
        return {condition["type"]: condition for condition in status["conditions"]}

    assert "Exposed" not in told({})
    assert told({"expose": {"mcp": {"host": HOST}}})["Exposed"]["status"] == "True"
