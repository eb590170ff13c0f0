"""Neo4j: a projection of PostgreSQL that can be thrown away and rebuilt. Pure."""

from __future__ import annotations

from memsys_operator import names
from memsys_operator.credentials import Credentials
from memsys_operator.observed import Manifest
from memsys_operator.resources import pods, storage
from memsys_operator.resources.credentials import checksum
from memsys_operator.settings import Settings
from memsys_operator.spec import System

PART = names.NEO4J


def manifests(system: System, settings: Settings, credentials: Credentials) -> list[Manifest]:
    """Nothing when the graph is off; without the StatefulSet while its password is lost."""
    if not system.runs_neo4j:
        return []
    ports = {"http": system.spec.graph.ports.http, "bolt": system.spec.graph.ports.bolt}
    service = names.component(system.name, PART)
    made = [pods.service_account(system, PART), pods.service(system, service, PART, ports)]
    if credentials.neo4j is not None:
        made.append(
            pods.stateful_set(
                system,
                PART,
                service_name=service,
                template=_template(system, settings, ports, credentials.neo4j["password"]),
                storage=storage.claim_template(system, PART, system.spec.graph.storage),
            )
        )
    return made


def _template(system: System, settings: Settings, ports: dict[str, int], password: str) -> Manifest:
    spec = system.spec.graph
    scratch = [
        pods.empty_dir("run", "/run/neo4j"),
        pods.empty_dir("tmp", "/tmp"),  # noqa: S108 - a mount path in the pod
    ]
    container = pods.container(
        PART,
        settings.image(system.spec.images, PART),
        settings.pull_policy(system.spec.images),
        ports=ports,
        env=pods.env(
            MEMSYS_NEO4J_HTTP_PORT=ports["http"],
            MEMSYS_NEO4J_BOLT_PORT=ports["bolt"],
            MEMSYS_NEO4J_HEAP=spec.heap,
            MEMSYS_NEO4J_PAGECACHE=spec.page_cache,
        ),
        mounts=[
            {"name": "data", "mountPath": "/var/lib/memsys"},
            {"name": "credentials", "mountPath": "/run/secrets/memsys-neo4j", "readOnly": True},
            *(mount for _, mount in scratch),
        ],
        resources=spec.resources,
        # Two minutes is usual on two busy cores, and a store after a crash takes longer.
        startupProbe=pods.http_probe("/", "http", period=5, failures=180),
        readinessProbe=pods.http_probe("/", "http", period=5, failures=6),
        # An answer is not enough: after a full disk the database refuses everything until its process is a new one.
        livenessProbe=pods.exec_probe(["memsys-neo4j-alive"], period=20, failures=9, timeout=10),
    )
    volumes = [
        {
            "name": "credentials",
            "secret": {"secretName": names.component(system.name, PART), "defaultMode": 0o440},
        },
        *(volume for volume, _ in scratch),
    ]
    return pods.template(
        system, settings, PART, container, volumes, checksum=checksum({"password": password}), grace_seconds=120
    )
