"""The memory API. Pure."""

from __future__ import annotations

import hashlib

from memsys_operator import names
from memsys_operator.credentials import Credentials
from memsys_operator.observed import Manifest, Observed
from memsys_operator.resources import pods, references, storage
from memsys_operator.resources.credentials import api_values, checksum
from memsys_operator.settings import Settings
from memsys_operator.spec import System

PART = names.API
#: Where the API looks for its own ServiceAccount's token, as every client of the apiserver does.
SERVICE_ACCOUNT_DIR = "/var/run/secrets/kubernetes.io/serviceaccount"


def manifests(system: System, settings: Settings, credentials: Credentials, observed: Observed) -> list[Manifest]:
    return [
        pods.service_account(system, PART, system.spec.api.service_account_annotations),
        pods.service(system, names.component(system.name, PART), PART, {"http": system.spec.api.port}),
        pods.deployment(
            system,
            PART,
            replicas=system.spec.api.replicas,
            template=_template(system, settings, credentials, observed),
        ),
    ]


def environment(system: System, observed: Observed) -> dict[str, str | int]:
    """The settings of the API that are no secrets."""
    spec, embedding = system.spec, system.embedding
    values: dict[str, str | int] = {
        "MEMSYS_HOST": "*",  # whichever address the pod has; a NetworkPolicy limits the port
        "MEMSYS_PORT": spec.api.port,
        "MEMSYS_LOG_LEVEL": spec.api.log_level.upper(),
        "MEMSYS_SECRETS_DIR": "/run/secrets/memsys",
        "VECTOR_STORE": spec.vector_store.provider,
        "VECTOR_PRECISION": embedding.precision,
        "VECTOR_INDEX": embedding.index,
        "EMBEDDER_PROVIDER": embedding.provider,
        "EMBEDDER_MODEL": embedding.model,
        "EMBEDDER_DIMENSIONS": embedding.dimensions,
        "LLM_PROVIDER": spec.llm.provider,
        "GRAPH_STORE": spec.graph.provider,
        "MEMSYS_QUARANTINE": spec.api.quarantine,
        "MEMSYS_TOKEN_REVIEW": "on" if spec.api.token_review else "off",
        "WEBHOOKS_ENABLED": str(spec.api.webhooks.enabled).lower(),
        "RERANKER_PROVIDER": spec.reranker.provider,
        "MEMSYS_AUDIT_RETENTION_DAYS": spec.api.retention.audit_days,
        "MEMSYS_ERASURE_LEDGER_RETENTION_DAYS": spec.api.retention.erasure_ledger_days,
        **pods.tracing(system),
    }
    optional: dict[str, str | int | None] = {
        "EMBEDDER_BASE_URL": spec.embedder.base_url,
        "LLM_MODEL": spec.llm.model,
        "LLM_BASE_URL": spec.llm.base_url,
        "MEMSYS_RATE_LIMIT_PER_MINUTE": spec.api.requests_per_minute,
        "MEMSYS_LLM_TOKENS_PER_DAY": spec.api.llm_tokens_per_day,
        "WEBHOOK_ALLOWED_NETWORKS": ",".join(spec.api.webhooks.allowed_networks) or None,
        "MEMSYS_BACKUP_RETENTION_DAYS": spec.api.retention.backup_days,
        "MEMSYS_MCP_QUEUE_HOURS": None if spec.mcp.write_queue is None else spec.mcp.write_queue_hours,
        **_reranker(system),
        **_vector_index(system),
    }
    if claim := storage.kept_graph(system, observed):
        values["MEMSYS_KEPT_GRAPH_VOLUME"] = f"PersistentVolumeClaim {system.namespace}/{claim}"
    values |= {name: value for name, value in optional.items() if value is not None}
    if spec.graph.neptune is not None:
        values["NEPTUNE_ENDPOINT"] = spec.graph.neptune.endpoint
        values["NEPTUNE_IAM"] = str(spec.graph.neptune.iam_auth).lower()
        if spec.graph.neptune.region is not None:
            values["AWS_REGION"] = spec.graph.neptune.region
    if system.runs_neo4j:
        values["NEO4J_URI"] = f"bolt://{names.component(system.name, names.NEO4J)}:{spec.graph.ports.bolt}"
        values["NEO4J_USER"] = "neo4j"
    return values


def _reranker(system: System) -> dict[str, str | int | None]:
    spec = system.spec.reranker
    if spec.provider == "none":
        return {}
    return {
        "RERANKER_MODEL": spec.model,
        "RERANKER_BASE_URL": spec.base_url,
        "RERANKER_TOP_N": spec.top_n,
        "RERANKER_TIMEOUT_SECONDS": spec.timeout_seconds,
    }


def _vector_index(system: System) -> dict[str, str | None]:
    """Settings of an index beside PostgreSQL. Systems that share one must not share collections, so each has a name of
    its own unless the spec gives one."""
    spec = system.spec.vector_store
    if spec.provider == "pgvector":
        return {}
    own = hashlib.sha256(str(system.ref).encode()).hexdigest()[:12]
    return {
        "VECTOR_STORE_URL": spec.url,
        "VECTOR_STORE_GRPC_URL": spec.grpc_url,
        "VECTOR_STORE_COLLECTION": spec.collection or f"memsys{own}",
        "VECTOR_STORE_CLOUD": spec.cloud,
        "VECTOR_STORE_REGION": spec.region,
    }


def _service_account_token() -> tuple[Manifest, Manifest]:
    """What a pod gets whose token is mounted for it: the token, renewed by the kubelet, and the apiserver's CA."""
    sources: list[Manifest] = [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
    ]
    mount = {"name": "service-account", "mountPath": SERVICE_ACCOUNT_DIR, "readOnly": True}
    return {"name": "service-account", "projected": {"defaultMode": 0o440, "sources": sources}}, mount


def _template(system: System, settings: Settings, credentials: Credentials, observed: Observed) -> Manifest:
    spec = system.spec.api
    rendered = names.component(system.name, PART)
    secrets = api_values(system, credentials) | references.values(system, PART, observed)
    sources = [{"secret": {"name": rendered}}, *references.sources(system, PART)]
    tmp, tmp_mount = pods.empty_dir("tmp", "/tmp")  # noqa: S108 - a mount path in the pod
    volumes, mounts = [references.volume(sources), tmp], [references.MOUNT, tmp_mount]
    if spec.token_review:
        volume, mount = _service_account_token()
        volumes.append(volume)
        mounts.append(mount)
    container = pods.container(
        PART,
        settings.image(system.spec.images, PART),
        settings.pull_policy(system.spec.images),
        ports={"http": spec.port},
        env=pods.env(**environment(system, observed)),
        mounts=mounts,
        resources=spec.resources,
        startupProbe=pods.http_probe("/healthz", "http", period=2, failures=150),
        readinessProbe=pods.http_probe("/readyz", "http", period=5, failures=2),
        livenessProbe=pods.http_probe("/healthz", "http", period=10, failures=6),
        lifecycle=pods.serve_while_leaving(),
    )
    return pods.template(
        system, settings, PART, container, volumes,
        checksum=checksum(secrets), grace_seconds=45, spread=spec.replicas > 1,
    )  # fmt: skip
