"""Names, labels and annotations of everything that belongs to one system. Pure."""

from __future__ import annotations

GROUP = "memsys.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "MemorySystem"
PLURAL = "memorysystems"
FIELD_MANAGER = "memsys-operator"

SYSTEM_LABEL = f"{GROUP}/system"
MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
COMPONENT_LABEL = "app.kubernetes.io/component"

#: Hash of the manifest last applied: tells a field that was dropped from the manifest, which ⊆ cannot see.
APPLIED_ANNOTATION = f"{GROUP}/applied"
#: On a pod template: changes when a Secret that the pod reads changes, so that the pod is replaced.
CHECKSUM_ANNOTATION = f"{GROUP}/config-checksum"
#: On Secret ``<name>-postgres``: the embedder whose vectors the data holds, ``provider/model/dimensions``.
EMBEDDER_ANNOTATION = f"{GROUP}/embedder"
#: On a MemorySystem, value ``postgres``: permission to make new credentials for a volume whose Secret is lost.
RESET_ANNOTATION = f"{GROUP}/reset-credentials"

POSTGRES = "postgres"
NEO4J = "neo4j"
API = "api"
MCP = "mcp"
COMPONENTS = (POSTGRES, NEO4J, API, MCP)


def component(system: str, part: str) -> str:
    """Name of the workload, ServiceAccount and NetworkPolicy of one part."""
    return f"{system}-{part}"


def postgres_service(system: str) -> str:
    return f"{system}-postgres-rw"


def admin_key_secret(system: str) -> str:
    return f"{system}-admin-key"


def data_claim(system: str, part: str) -> str:
    """Name of the PVC that the StatefulSet of ``part`` makes for its only pod."""
    return f"data-{system}-{part}-0"


def selector(system: str, part: str) -> dict[str, str]:
    """Labels that pick the pods of one part; immutable for the life of a workload."""
    return {
        "app.kubernetes.io/name": "memsys",
        "app.kubernetes.io/instance": system,
        COMPONENT_LABEL: part,
    }


def labels(system: str, part: str) -> dict[str, str]:
    return {
        **selector(system, part),
        MANAGED_BY_LABEL: FIELD_MANAGER,
        "app.kubernetes.io/part-of": "memsys",
        SYSTEM_LABEL: system,
    }
