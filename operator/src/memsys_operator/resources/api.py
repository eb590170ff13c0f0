"""The memory API. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from memsys_operator import names
from memsys_operator.credentials import Credentials
from memsys_operator.observed import Manifest, Observed, secret_values
from memsys_operator.resources import pods
from memsys_operator.resources.credentials import api_values, checksum
from memsys_operator.settings import Settings
from memsys_operator.spec import SecretKeyRef, System

PART = names.API


def references(system: System) -> dict[str, SecretKeyRef]:
    """Secrets of the user's that the API reads, by the setting they fill."""
    spec = system.spec
    named = {"embedder_api_key": spec.embedder.api_key_secret_ref, "llm_api_key": spec.llm.api_key_secret_ref}
    return {setting: ref for setting, ref in named.items() if ref is not None}


def missing_reference(system: System, observed: Observed) -> str | None:
    """A sentence naming the first referenced Secret or key that does not exist; None when all do."""
    for setting, ref in references(system).items():
        field = f"spec.{setting.split('_', 1)[0]}.apiKeySecretRef"
        secret = observed.references.get(ref.name)
        if secret is None:
            return f"{field}: Secret {ref.name} does not exist in namespace {system.namespace}; create it"
        if not secret_values(secret).get(ref.key):
            return f"{field}: Secret {ref.name} has no key {ref.key}; add it or name another key"
    return None


def manifests(system: System, settings: Settings, credentials: Credentials, observed: Observed) -> list[Manifest]:
    return [
        pods.service_account(system, PART),
        pods.service(system, names.component(system.name, PART), PART, {"http": system.spec.api.port}),
        pods.deployment(
            system,
            PART,
            replicas=system.spec.api.replicas,
            template=_template(system, settings, credentials, observed.references),
        ),
    ]


def environment(system: System) -> dict[str, str | int]:
    """The settings of the API that are no secrets."""
    spec, embedding = system.spec, system.embedding
    values: dict[str, str | int] = {
        "MEMSYS_HOST": "0.0.0.0",  # noqa: S104 - the pod's own address; a NetworkPolicy limits the port
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
    }
    optional = {
        "EMBEDDER_BASE_URL": spec.embedder.base_url,
        "LLM_MODEL": spec.llm.model,
        "LLM_BASE_URL": spec.llm.base_url,
    }
    values |= {name: value for name, value in optional.items() if value is not None}
    if system.graph_enabled:
        values["NEO4J_URI"] = f"bolt://{names.component(system.name, names.NEO4J)}:{spec.graph.ports.bolt}"
        values["NEO4J_USER"] = "neo4j"
    return values


def _template(
    system: System,
    settings: Settings,
    credentials: Credentials,
    referenced: Mapping[str, Manifest | None],
) -> Manifest:
    spec = system.spec.api
    rendered = names.component(system.name, PART)
    secrets = api_values(system, credentials)
    sources: list[Manifest] = [{"secret": {"name": rendered}}]
    for setting, ref in references(system).items():
        sources.append({"secret": {"name": ref.name, "items": [{"key": ref.key, "path": setting}]}})
        secrets[setting] = secret_values(referenced.get(ref.name) or {}).get(ref.key, "")
    tmp, tmp_mount = pods.empty_dir("tmp", "/tmp")  # noqa: S108 - a mount path in the pod
    container = pods.container(
        PART,
        settings.image(system.spec.images, PART),
        settings.pull_policy(system.spec.images),
        ports={"http": spec.port},
        env=pods.env(**environment(system)),
        mounts=[{"name": "secrets", "mountPath": "/run/secrets/memsys", "readOnly": True}, tmp_mount],
        resources=spec.resources,
        startupProbe=pods.http_probe("/healthz", "http", period=2, failures=150),
        readinessProbe=pods.http_probe("/readyz", "http", period=5, failures=2),
        livenessProbe=pods.http_probe("/healthz", "http", period=10, failures=6),
        lifecycle=pods.serve_while_leaving(),
    )
    volumes = [{"name": "secrets", "projected": {"defaultMode": 0o440, "sources": sources}}, tmp]
    return pods.template(
        system, settings, PART, container, volumes,
        checksum=checksum(secrets), grace_seconds=45, spread=spec.replicas > 1,
    )  # fmt: skip
