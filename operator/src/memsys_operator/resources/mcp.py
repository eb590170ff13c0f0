"""The MCP server. It holds no credentials: callers bring their own key, which it passes on to the API. Pure."""

from __future__ import annotations

from memsys_operator import names
from memsys_operator.observed import Manifest
from memsys_operator.resources import pods
from memsys_operator.resources.credentials import checksum
from memsys_operator.settings import Settings
from memsys_operator.spec import System

PART = names.MCP


def manifests(system: System, settings: Settings) -> list[Manifest]:
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
        ),
        pods.deployment(system, PART, replicas=system.spec.mcp.replicas, template=_template(system, settings)),
    ]


def environment(system: System) -> dict[str, str | int]:
    spec = system.spec.mcp
    values: dict[str, str | int] = {
        "MEMSYS_API_URL": f"http://{names.component(system.name, names.API)}:{system.spec.api.port}",
        "MEMSYS_HOST": "0.0.0.0",  # noqa: S104 - the pod's own address; a NetworkPolicy limits the port
        "MEMSYS_PORT": spec.port,
        "MEMSYS_MCP_ISOLATION": spec.isolation,
    }
    hosts = [*spec.allowed_hosts]
    if system.spec.expose is not None and system.spec.expose.mcp is not None:
        hosts.append(system.spec.expose.mcp.host)
    if hosts:
        values["MEMSYS_MCP_ALLOWED_HOSTS"] = ",".join(dict.fromkeys(hosts))
    if spec.project is not None:
        values["MEMSYS_MCP_PROJECT"] = spec.project
    return values


def _template(system: System, settings: Settings) -> Manifest:
    spec = system.spec.mcp
    values = environment(system)
    tmp, tmp_mount = pods.empty_dir("tmp", "/tmp")  # noqa: S108 - a mount path in the pod
    container = pods.container(
        PART,
        settings.image(system.spec.images, PART),
        settings.pull_policy(system.spec.images),
        ports={"http": spec.port},
        env=pods.env(**values),
        mounts=[tmp_mount],
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
        system, settings, PART, container, [tmp],
        checksum=checksum({name: str(value) for name, value in values.items()}),
        grace_seconds=45, spread=spec.replicas > 1,
    )  # fmt: skip
