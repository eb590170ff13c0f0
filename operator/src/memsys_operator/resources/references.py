"""Secrets of the user's that the spec names: which there are, what is missing, how a server reads them. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from memsys_operator import names
from memsys_operator.observed import Manifest, Observed, secret_values
from memsys_operator.spec import MCPKeyRef, SealingKeysRef, SecretKeyRef, System

Ref = SecretKeyRef | MCPKeyRef | SealingKeysRef

#: Servers read every file of this folder as the setting of its name.
MOUNT: Manifest = {"name": "secrets", "mountPath": "/run/secrets/memsys", "readOnly": True}


def references(system: System, part: str) -> dict[str, tuple[str, Ref]]:
    """By setting (in lower case): the field of the spec and what it names."""
    spec = system.spec
    named: dict[str, dict[str, tuple[str, Ref | None]]] = {
        names.API: {
            "embedder_api_key": ("spec.embedder.apiKeySecretRef", spec.embedder.api_key_secret_ref),
            "llm_api_key": ("spec.llm.apiKeySecretRef", spec.llm.api_key_secret_ref),
            "reranker_api_key": ("spec.reranker.apiKeySecretRef", spec.reranker.api_key_secret_ref),
            "webhook_secret_keys": (
                "spec.api.webhooks.sealingKeysSecretRef",
                spec.api.webhooks.sealing_keys_secret_ref,
            ),
            "vector_store_api_key": ("spec.vectorStore.apiKeySecretRef", spec.vector_store.api_key_secret_ref),
        },
        names.MCP: {"memsys_mcp_api_key": ("spec.mcp.apiKeySecretRef", spec.mcp.api_key_secret_ref)},
    }
    return {setting: (field, ref) for setting, (field, ref) in named[part].items() if ref is not None}


def secret_names(system: System) -> set[str]:
    """The Secrets to look for."""
    return {ref.name for part in (names.API, names.MCP) for _, ref in references(system, part).values()}


def missing(system: System, part: str, observed: Observed) -> str | None:
    """A sentence naming the first referenced Secret or key that does not exist; None when all do."""
    for field, ref in references(system, part).values():
        secret = observed.references.get(ref.name)
        if secret is None:
            return f"{field}: Secret {ref.name} does not exist in namespace {system.namespace}; create it"
        if not secret_values(secret).get(ref.key):
            return f"{field}: Secret {ref.name} has no key {ref.key}; add it or name another key"
    return None


def values(system: System, part: str, observed: Observed) -> dict[str, str]:
    """What the Secrets hold, by setting; for checksums alone."""
    return {
        setting: secret_values(observed.references.get(ref.name) or {}).get(ref.key, "")
        for setting, (_, ref) in references(system, part).items()
    }


def sources(system: System, part: str) -> list[Manifest]:
    """Sources of a projected volume: each key becomes the file of its setting."""
    return [
        {"secret": {"name": ref.name, "items": [{"key": ref.key, "path": setting}]}}
        for setting, (_, ref) in references(system, part).items()
    ]


def volume(sources: Sequence[Manifest]) -> Manifest:
    return {"name": MOUNT["name"], "projected": {"defaultMode": 0o440, "sources": list(sources)}}
