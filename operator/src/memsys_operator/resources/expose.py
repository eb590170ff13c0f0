"""The way in from outside the cluster, only where ``spec.expose`` asks for it: an Ingress, or an HTTPRoute of the
Gateway API; and what keeps it from being open. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memsys_operator import names
from memsys_operator.errors import OperatorError, Waiting
from memsys_operator.observed import Manifest, Observed
from memsys_operator.resources import pods
from memsys_operator.spec import Expose, System

#: What is reached from outside: of the MCP server its transports and what a client asks before it authorises itself, of
#: the API all that a caller with a key uses. Not their metrics and probes, which ask for no key. An Ingress can only
#: name what it lets through, so the API's parts are all named; its own routes are held against them by a test.
PATHS: Mapping[str, tuple[str, ...]] = {
    names.MCP: ("/mcp", "/p", "/sse", "/messages", "/.well-known"),
    names.API: (
        "/memories", "/search", "/entities", "/events", "/inferences", "/changes", "/export", "/import", "/graph",
        "/sinks", "/webhooks", "/keys", "/policy", "/audit", "/erasures", "/quarantine", "/info",
        "/openapi.json", "/docs",
        "/v1", "/v2", "/v3", "/api", "/configure", "/reset",  # mem0's own
    ),
}  # fmt: skip
#: How many a rule of an HTTPRoute may hold; the Gateway API before 1.2 allows no more.
MATCHES = 8
#: A stream may be silent for long and must arrive as it is written; a client of SSE must stay with its replica.
#: Each controller reads its own annotations and leaves the others alone.
STREAMING: Mapping[str, str] = {
    "nginx.ingress.kubernetes.io/proxy-buffering": "off",
    "nginx.ingress.kubernetes.io/proxy-read-timeout": "3600",
    "nginx.ingress.kubernetes.io/proxy-send-timeout": "3600",
    "nginx.ingress.kubernetes.io/upstream-hash-by": "$binary_remote_addr",
    "haproxy.org/load-balance": "source",
    "haproxy.org/timeout-server": "1h",
    "haproxy-ingress.github.io/balance-algorithm": "source",
    "haproxy-ingress.github.io/timeout-server": "1h",
}


def manifests(system: System, observed: Observed) -> list[Manifest]:
    """One object for each exposed part; none for a Gateway while the cluster does not serve HTTPRoutes."""
    expose = system.spec.expose
    if expose is None or (expose.gateway is not None and not observed.http_routes):
        return []
    build = _ingress if expose.gateway is None else _http_route
    return [build(system, expose, part, host) for part, host in expose.hosts.items()]


def tls_secrets(system: System) -> dict[str, str]:
    """The Secret with the certificate of each exposed part; empty without TLS of an Ingress."""
    expose = system.spec.expose
    if expose is None or expose.tls is None:
        return {}
    own = expose.tls.secret_name
    return {part: own or f"{names.component(system.name, part)}-tls" for part in expose.hosts}


def urls(system: System, observed: Observed) -> dict[str, str]:
    """The addresses outside the cluster, by their names in ``status.endpoints``."""
    expose = system.spec.expose
    if expose is None:
        return {}
    scheme = "https" if expose.tls is not None or "HTTPS" in _protocols(expose, observed) else "http"
    ends = {names.API: "", names.MCP: "/mcp"}
    return {f"{part}External": f"{scheme}://{host}{ends[part]}" for part, host in expose.hosts.items()}


def problem(system: System, observed: Observed) -> OperatorError | None:
    """What the way in still lacks; None when nothing is known to be missing."""
    expose = system.spec.expose
    if expose is None:
        return None
    if expose.gateway is not None:
        return _gateway_problem(system, expose, observed)
    for secret in tls_secrets(system).values():
        if observed.references.get(secret) is not None:
            continue
        if expose.tls is not None and expose.tls.cert_manager_issuer is not None:
            said = f"cert-manager has not made Secret {secret} yet; its Certificate of that name says why"
            return Waiting("CertificatePending", said)
        return Waiting(
            "SecretNotFound",
            f"spec.expose.tls.secretName: Secret {secret} does not exist in namespace {system.namespace}; create it",
        )
    # An Ingress that has an address is served, whatever its class is to the controller.
    if observed.ingress_class is False and unpublished(system, observed):
        return Waiting(
            "IngressClassNotFound",
            f"spec.expose.className: IngressClass {expose.class_name} does not exist, so no controller takes up the "
            "Ingress; install the controller, name another class, or leave the field out for the cluster's default",
        )
    return _missing(system, expose, "Ingress", observed)


def unpublished(system: System, observed: Observed) -> bool:
    """Whether some Ingress has no address from a controller yet. Most controllers publish one once they serve it; of
    those that do not, nothing tells."""
    expose = system.spec.expose
    if expose is None or expose.gateway is not None:
        return False
    ingresses = [observed.get("Ingress", names.component(system.name, part)) or {} for part in expose.hosts]
    return not all((i.get("status") or {}).get("loadBalancer", {}).get("ingress") for i in ingresses)


def _ingress(system: System, expose: Expose, part: str, host: str) -> Manifest:
    name = names.component(system.name, part)
    backend = {"service": {"name": name, "port": {"name": "http"}}}
    paths = [{"path": path, "pathType": "Prefix", "backend": backend} for path in PATHS[part]]
    spec: Manifest = {"rules": [{"host": host, "http": {"paths": paths}}]}
    if expose.class_name is not None:
        spec["ingressClassName"] = expose.class_name
    annotations = dict(STREAMING)
    if expose.tls is not None:
        spec["tls"] = [{"hosts": [host], "secretName": tls_secrets(system)[part]}]
        if issuer := expose.tls.cert_manager_issuer:
            kind = "cluster-issuer" if issuer.kind == "ClusterIssuer" else "issuer"
            annotations[f"cert-manager.io/{kind}"] = issuer.name
    meta = pods.metadata(system, name, part) | {"annotations": annotations | expose.annotations}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": meta, "spec": spec}


def _http_route(system: System, expose: Expose, part: str, host: str) -> Manifest:
    assert expose.gateway is not None, "asked for only with a Gateway"
    name = names.component(system.name, part)
    port = system.spec.mcp.port if part == names.MCP else system.spec.api.port
    parent = {"name": expose.gateway.name, "namespace": expose.gateway.namespace or system.namespace}
    if expose.gateway.section_name is not None:
        parent["sectionName"] = expose.gateway.section_name
    matches = [{"path": {"type": "PathPrefix", "value": path}} for path in PATHS[part]]
    rules = [
        {
            "matches": matches[first : first + MATCHES],
            "backendRefs": [{"name": name, "port": port}],
            "timeouts": {"request": "0s"},  # none: a stream ends when one of its ends says so
        }
        for first in range(0, len(matches), MATCHES)
    ]
    meta = pods.metadata(system, name, part)
    if expose.annotations:
        meta["annotations"] = dict(expose.annotations)
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": meta,
        "spec": {"parentRefs": [parent], "hostnames": [host], "rules": rules},
    }


def _listeners(expose: Expose, observed: Observed) -> list[Mapping[str, Any]]:
    if expose.gateway is None or observed.gateway is None:
        return []
    section = expose.gateway.section_name
    return [item for item in observed.gateway["spec"].get("listeners", ()) if section in (None, item["name"])]


def _protocols(expose: Expose, observed: Observed) -> set[str]:
    return {listener["protocol"] for listener in _listeners(expose, observed)}


def _gateway_problem(system: System, expose: Expose, observed: Observed) -> OperatorError | None:
    assert expose.gateway is not None, "asked for only with a Gateway"
    if not observed.http_routes:
        return Waiting(
            "GatewayAPIMissing",
            "spec.expose.gateway: this cluster does not know HTTPRoute (gateway.networking.k8s.io/v1); install the "
            "Gateway API and a controller for it, or remove the field to get an Ingress",
        )
    gateway = f"{expose.gateway.namespace or system.namespace}/{expose.gateway.name}"
    if observed.gateway is None:
        said = f"spec.expose.gateway: Gateway {gateway} does not exist; create it or name another"
        return Waiting("GatewayNotFound", said)
    if not _listeners(expose, observed):
        section = expose.gateway.section_name
        said = f"spec.expose.gateway.sectionName: Gateway {gateway} has no listener {section}; correct the name"
        return Waiting("ListenerNotFound", said)
    if missing := _missing(system, expose, "HTTPRoute", observed):
        return missing
    for part in expose.hosts:
        name = names.component(system.name, part)
        route = observed.get("HTTPRoute", name) or {}
        parents = (route.get("status") or {}).get("parents") or ()
        if not parents:
            said = f"Gateway {gateway} has not taken up HTTPRoute {name}; look at its controller"
            return Waiting("NotAccepted", said)
        for condition in (c for parent in parents for c in parent.get("conditions", ())):
            if condition["type"] in ("Accepted", "ResolvedRefs") and condition["status"] == "False":
                return Waiting(condition["reason"], f"HTTPRoute {name}: {condition.get('message', '')}"[:300])
    return None


def _missing(system: System, expose: Expose, kind: str, observed: Observed) -> OperatorError | None:
    for part in expose.hosts:
        name = names.component(system.name, part)
        if observed.get(kind, name) is None:
            return Waiting("NotCreated", f"{kind} {name} does not exist yet")
    return None
