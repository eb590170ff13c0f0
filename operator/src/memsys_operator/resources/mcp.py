"""The MCP server. Callers bring their own key, which it passes on to the API; it holds a key of its own only where the
spec names one, for callers with an access token. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping

from memsys_operator import names
from memsys_operator.observed import Manifest, Observed
from memsys_operator.resources import pods, references
from memsys_operator.resources.credentials import checksum
from memsys_operator.settings import Settings
from memsys_operator.spec import OAuth, System

PART = names.MCP
#: Where the write queue's folder is made; the volume lives as long as the pod.
QUEUE_VOLUME = "/var/lib/memsys"
#: Traefik sends to pods by turns unless the Service says that it is to be called itself, whose affinity then holds: of
#: an Ingress's Service it reads the first, of an HTTPRoute's the second
#: (https://doc.traefik.io/traefik/reference/routing-configuration/kubernetes/ingress/). Its own affinity is by a
#: cookie, which clients of MCP need not keep. Other controllers leave these alone.
AFFINE: Mapping[str, str] = {
    "traefik.ingress.kubernetes.io/service.nativelb": "true",
    "traefik.io/service.nativelb": "true",
}


def manifests(system: System, settings: Settings, observed: Observed) -> list[Manifest]:
    name = names.component(system.name, PART)
    return [
        pods.service_account(system, PART),
        pods.service(
            system,
            name,
            PART,
            {"http": system.spec.mcp.port},
            # SSE has sessions: one client stays with one replica.
            sessionAffinity="ClientIP",
            annotations=AFFINE if system.spec.expose is not None and system.spec.expose.mcp is not None else None,
        ),
        pods.deployment(
            system, PART, replicas=system.spec.mcp.replicas, template=_template(system, settings, observed)
        ),
    ]


def environment(system: System) -> dict[str, str | int]:
    spec = system.spec.mcp
    values: dict[str, str | int] = {
        "MEMSYS_API_URL": f"http://{names.component(system.name, names.API)}:{system.spec.api.port}",
        "MEMSYS_HOST": "*",  # whichever address the pod has; a NetworkPolicy limits the port
        "MEMSYS_PORT": spec.port,
        "MEMSYS_MCP_ISOLATION": spec.isolation,
        "MEMSYS_MCP_AUTH": spec.auth,
        **pods.tracing(system),
    }
    hosts = [*spec.allowed_hosts]
    if system.spec.expose is not None and system.spec.expose.mcp is not None:
        hosts.append(system.spec.expose.mcp.host)
    if hosts:
        values["MEMSYS_MCP_ALLOWED_HOSTS"] = ",".join(dict.fromkeys(hosts))
    if spec.trusted_proxies:
        values["MEMSYS_MCP_TRUSTED_PROXIES"] = ",".join(spec.trusted_proxies)
    if spec.project is not None:
        values["MEMSYS_MCP_PROJECT"] = spec.project
    if spec.write_queue is not None:
        values["MEMSYS_MCP_WRITE_QUEUE"] = spec.write_queue
        values["MEMSYS_MCP_QUEUE_HOURS"] = spec.write_queue_hours
        values["MEMSYS_MCP_QUEUE_DIR"] = f"{QUEUE_VOLUME}/queue"
    if url := public_url(system):
        values["MEMSYS_MCP_PUBLIC_URL"] = url
    if spec.oauth is not None:
        values |= _oauth(spec.oauth)
    return values


def public_url(system: System) -> str | None:
    """How clients reach the server: what the spec says, else the exposed host. A Gateway is taken to end TLS, as an
    Ingress with a certificate does."""
    spec, expose = system.spec.mcp, system.spec.expose
    if spec.public_url is not None or expose is None or expose.mcp is None:
        return spec.public_url
    scheme = "https" if expose.tls is not None or expose.gateway is not None else "http"
    return f"{scheme}://{expose.mcp.host}"


def _oauth(spec: OAuth) -> dict[str, str]:
    said = {
        "ISSUER": ",".join(spec.issuers),
        "AUDIENCE": ",".join(spec.audiences),
        "JWKS_URL": spec.jwks_url,
        "SCOPE_PATTERN": spec.scope_pattern,
        "PROJECTS_CLAIM": spec.projects_claim,
        "USER_CLAIM": spec.user_claim,
    }
    return {f"MEMSYS_MCP_OAUTH_{name}": value for name, value in said.items() if value}


def _template(system: System, settings: Settings, observed: Observed) -> Manifest:
    spec = system.spec.mcp
    values = environment(system)
    secrets = references.values(system, PART, observed)
    scratch = [pods.empty_dir("tmp", "/tmp")]  # noqa: S108 - a mount path in the pod
    if spec.write_queue is not None:
        scratch.append(pods.empty_dir("queue", QUEUE_VOLUME))
    volumes, mounts = [volume for volume, _ in scratch], [mount for _, mount in scratch]
    if secrets:
        volumes.append(references.volume(references.sources(system, PART)))
        mounts.append(references.MOUNT)
    container = pods.container(
        PART,
        settings.image(system.spec.images, PART),
        settings.pull_policy(system.spec.images),
        ports={"http": spec.port},
        env=pods.env(**values),
        mounts=mounts,
        resources=spec.resources,
        startupProbe=pods.http_probe("/healthz", "http", period=2, failures=150),
        # Not /readyz, which fails while the API is away: then the server says so itself, which tells an agent more than
        # a refused connection. Publishing the addresses of pods that are not ready would do the same, but sends
        # requests to pods that have not begun to listen and to such as have ended.
        readinessProbe=pods.http_probe("/healthz", "http", period=5, failures=2),
        livenessProbe=pods.http_probe("/healthz", "http", period=10, failures=6),
        lifecycle=pods.serve_while_leaving(),
    )
    return pods.template(
        system, settings, PART, container, volumes,
        checksum=checksum({name: str(value) for name, value in values.items()} | secrets),
        grace_seconds=45, spread=spec.replicas > 1,
    )  # fmt: skip
