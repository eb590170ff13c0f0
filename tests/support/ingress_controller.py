"""HAProxy set up from Kubernetes objects, as an ingress controller sets it up; without Kubernetes.

It reads what HAProxy's own controller reads of an Ingress (hosts, paths with their types, TLS Secrets, and of its
annotations ``load-balance`` and ``timeout-server``,
https://github.com/haproxytech/kubernetes-ingress/blob/master/documentation/annotations.md), and of an HTTPRoute what
the Gateway API says (host names, path prefixes, the request's time-out). The Gateway API's standard channel has no
affinity: there the Service is called itself, and its ``sessionAffinity`` holds. Where an object is silent, the
controller's default stands: by turns, with the time-out given here, and plain HTTP is redirected where there is TLS.
"""

from __future__ import annotations

import base64
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Manifest = Mapping[str, Any]
ANNOTATIONS = "haproxy.org/"
#: Says which of the servers answered.
SERVED_BY = "x-served-by"
#: What HAProxy calls a Service's sessionAffinity.
AFFINITIES = {"ClientIP": "source", "None": "roundrobin"}


@dataclass(frozen=True)
class Route:
    """One host's way to one Service."""

    host: str
    prefixes: tuple[str, ...]
    service: str
    balance: str
    timeout: str


def routes_of(manifests: Sequence[Manifest], default_timeout: str) -> list[Route]:
    """What Ingresses and HTTPRoutes ask for, the latter of the Services among the manifests.

    Raises ``ValueError`` for what this controller does not know.
    """
    services = {manifest["metadata"]["name"]: manifest for manifest in manifests if manifest["kind"] == "Service"}
    routes = []
    for manifest in manifests:
        if manifest["kind"] == "Ingress":
            routes += _of_ingress(manifest, default_timeout)
        elif manifest["kind"] == "HTTPRoute":
            routes += _of_http_route(manifest, services, default_timeout)
        else:
            _expect(manifest["kind"], "Service")
    return routes


def _of_ingress(manifest: Manifest, default_timeout: str) -> list[Route]:
    own = manifest["metadata"].get("annotations", {})
    balance = own.get(f"{ANNOTATIONS}load-balance", "roundrobin")
    timeout = own.get(f"{ANNOTATIONS}timeout-server", default_timeout)
    found = []
    for rule in manifest["spec"]["rules"]:
        prefixes: dict[str, tuple[str, ...]] = {}
        for path in rule["http"]["paths"]:
            _expect(path["pathType"], "Prefix")
            service = path["backend"]["service"]["name"]
            prefixes[service] = (*prefixes.get(service, ()), path["path"])
        found += [Route(rule["host"], paths, service, balance, timeout) for service, paths in prefixes.items()]
    return found


def _of_http_route(manifest: Manifest, services: Mapping[str, Manifest], default_timeout: str) -> list[Route]:
    prefixes: dict[tuple[str, str], tuple[str, ...]] = {}
    for rule in manifest["spec"]["rules"]:
        (backend,) = rule["backendRefs"]
        timeout = rule.get("timeouts", {}).get("request", default_timeout)
        for match in rule["matches"]:
            _expect(match["path"]["type"], "PathPrefix")
            key = (backend["name"], "0" if timeout == "0s" else timeout)
            prefixes[key] = (*prefixes.get(key, ()), match["path"]["value"])
    return [
        Route(host, paths, service, AFFINITIES[services[service]["spec"].get("sessionAffinity", "None")], timeout)
        for host in manifest["spec"]["hostnames"]
        for (service, timeout), paths in prefixes.items()
    ]


def _expect(given: str, known: str) -> None:
    if given != known:
        raise ValueError(f"{given}: this controller knows {known} alone here")


def render(
    routes: Sequence[Route],
    endpoints: Mapping[str, Sequence[str]],
    *,
    http: int,
    https: int,
    certificates: Path,
    default_timeout: str,
) -> str:
    """haproxy.cfg. ``endpoints``: the addresses (host:port) behind each Service."""
    lines = [
        "global",
        "    maxconn 1024",
        "defaults",
        "    mode http",
        "    option forwardfor",
        "    option redispatch",
        "    timeout connect 5s",
        "    timeout http-request 20s",  # a client's own slowness is not what the tests are about
        f"    timeout client {default_timeout}",
        f"    timeout server {default_timeout}",
        "frontend plain",
        f"    bind 127.0.0.1:{http}",
        *(f"    http-request redirect scheme https code 308 if {{ {_host(route)} }}" for route in routes),
        "    http-request return status 404",
        "frontend secure",
        f"    bind 127.0.0.1:{https} ssl crt {certificates} alpn h2,http/1.1",
        "    http-request set-header X-Forwarded-Proto https",
    ]
    for number, route in enumerate(routes):
        for prefix in route.prefixes:
            for path in _matches(prefix):
                lines.append(f"    use_backend route-{number} if {{ {_host(route)} }} {{ {path} }}")
    lines += ["    default_backend nothing", "backend nothing", "    http-request return status 404"]
    for number, route in enumerate(routes):
        lines += [f"backend route-{number}", f"    balance {route.balance}", "    hash-type consistent"]
        lines += [f"    timeout server {route.timeout}", f"    http-response set-header {SERVED_BY} %s"]
        lines += [f"    server s{index} {address}" for index, address in enumerate(endpoints[route.service])]
    return "\n".join(lines) + "\n"


def _host(route: Route) -> str:
    return f"req.hdr(host),field(1,:) -i {route.host}"


def _matches(prefix: str) -> list[str]:
    """A prefix holds for whole segments: /mcp is /mcp and /mcp/…, not /mcpx."""
    return ["path_beg /"] if prefix == "/" else [f"path {prefix}", f"path_beg {prefix}/"]


@contextmanager
def controller(
    manifests: Sequence[Manifest],
    secrets: Sequence[Manifest],
    endpoints: Mapping[str, Sequence[str]],
    *,
    ports: tuple[int, int],
    folder: Path,
    default_timeout: str,
) -> Iterator[subprocess.Popen[bytes]]:
    """HAProxy on 127.0.0.1, for plain HTTP and HTTPS on these two ports, with the certificates of these Secrets."""
    program = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
    assert program, "haproxy is not installed; on Debian: apt-get install haproxy"
    certificates = folder / "certificates"
    certificates.mkdir(parents=True)
    for secret in secrets:
        pem = b"".join(base64.b64decode(secret["data"][field]) for field in ("tls.crt", "tls.key"))
        (certificates / f"{secret['metadata']['name']}.pem").write_bytes(pem)
    routes = routes_of(manifests, default_timeout)
    config = folder / "haproxy.cfg"
    config.write_text(
        render(
            routes,
            endpoints,
            http=ports[0],
            https=ports[1],
            certificates=certificates,
            default_timeout=default_timeout,
        )
    )
    checked = subprocess.run([program, "-c", "-f", str(config)], capture_output=True, text=True)
    assert checked.returncode == 0, f"{checked.stderr}\n{config.read_text()}"
    with (folder / "haproxy.log").open("wb") as log:
        running = subprocess.Popen([program, "-db", "-f", str(config)], stdout=log, stderr=log)
    try:
        yield running
    finally:
        running.terminate()
        running.wait(10)
