"""PostgreSQL: the one source of truth. Pure."""

from __future__ import annotations

from memsys_operator import names
from memsys_operator.credentials import Credentials
from memsys_operator.observed import Manifest
from memsys_operator.resources import pods, storage
from memsys_operator.resources.credentials import checksum
from memsys_operator.settings import Settings
from memsys_operator.spec import System

PART = names.POSTGRES


def manifests(system: System, settings: Settings, credentials: Credentials) -> list[Manifest]:
    service = names.postgres_service(system.name)
    return [
        pods.service_account(system, PART),
        pods.service(system, service, PART, {"postgres": system.spec.postgres.port}),
        pods.stateful_set(
            system,
            PART,
            service_name=service,
            template=_template(system, settings, credentials),
            storage=storage.claim_template(system, PART, system.spec.postgres.storage),
        ),
    ]


def _template(system: System, settings: Settings, credentials: Credentials) -> Manifest:
    spec = system.spec.postgres
    scratch = [
        pods.empty_dir("run", "/run/postgresql"),
        pods.empty_dir("tmp", "/tmp"),  # noqa: S108 - a mount path in the pod
        # Parallel queries and index builds share memory here; a container's own /dev/shm has 64 MiB.
        pods.empty_dir("shm", "/dev/shm", medium="Memory", sizeLimit="256Mi"),  # noqa: S108
    ]
    parameters = {f"MEMSYS_PG_{name}": value for name, value in sorted(spec.parameters.items())}
    ready = f"pg_isready -q -h 127.0.0.1 -p {spec.port}"
    container = pods.container(
        PART,
        settings.image(system.spec.images, PART),
        settings.pull_policy(system.spec.images),
        ports={"postgres": spec.port},
        env=pods.env(PGPORT=spec.port, PGDATA="/var/lib/memsys/pgdata", **parameters),
        mounts=[
            {"name": "data", "mountPath": "/var/lib/memsys"},
            {"name": "credentials", "mountPath": "/run/secrets/memsys-postgres", "readOnly": True},
            *(mount for _, mount in scratch),
        ],
        resources=spec.resources,
        # Crash recovery may replay much WAL: half an hour before the pod is given up.
        startupProbe=pods.exec_probe(["sh", "-c", ready], period=3, failures=600),
        readinessProbe=pods.exec_probe(["sh", "-c", ready], period=5, failures=3),
        # 1 is "alive but refusing connections for now" (recovery, shutdown): not a reason to kill it.
        livenessProbe=pods.exec_probe(["sh", "-c", f"{ready}; [ $? -le 1 ]"], period=15, failures=6),
    )
    volumes = [
        {
            "name": "credentials",
            "secret": {"secretName": names.component(system.name, PART), "defaultMode": 0o440},
        },
        *(volume for volume, _ in scratch),
    ]
    return pods.template(
        system, settings, PART, container, volumes,
        checksum=checksum(credentials.postgres), grace_seconds=120,
    )  # fmt: skip
