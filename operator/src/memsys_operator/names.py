"""Names, labels and annotations of everything that belongs to one system. Pure."""

from __future__ import annotations

GROUP = "memsys.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "MemorySystem"
PLURAL = "memorysystems"
KEY_KIND = "MemoryKey"
KEY_PLURAL = "memorykeys"
FIELD_MANAGER = "memsys-operator"

SYSTEM_LABEL = f"{GROUP}/system"
MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
COMPONENT_LABEL = "app.kubernetes.io/component"

#: Hash of the manifest last applied: tells a field that was dropped from the manifest, which ⊆ cannot see.
APPLIED_ANNOTATION = f"{GROUP}/applied"
#: On a pod template: changes when a Secret that the pod reads changes, so that the pod is replaced.
CHECKSUM_ANNOTATION = f"{GROUP}/config-checksum"
#: On Secret ``<name>-postgres``: the embedder that the data is set up for, ``provider/model/dimensions``.
EMBEDDER_ANNOTATION = f"{GROUP}/embedder"
#: On Secret ``<name>-postgres``: how the vectors are stored, which the API cannot change either.
PRECISION_ANNOTATION = f"{GROUP}/precision"
#: On a MemorySystem, value ``postgres``: permission to make new credentials for a volume whose Secret is lost.
RESET_ANNOTATION = f"{GROUP}/reset-credentials"

#: On the Secret of a MemoryKey: which one.
KEY_LABEL = f"{GROUP}/key"
#: On a MemoryKey: each new value asks once for a new secret.
ROTATE_ANNOTATION = f"{GROUP}/rotate"
#: On the Secret of a MemoryKey: when its secret was made, which rotation it answers, and the hashes before it with the
#: moments until which they are accepted.
ISSUED_ANNOTATION = f"{GROUP}/issued-at"
ANSWERS_ANNOTATION = f"{GROUP}/answers-rotation"
PREVIOUS_ANNOTATION = f"{GROUP}/previous"

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


def service(system: str, part: str) -> str:
    """Name of the Service through which a part is reached."""
    return postgres_service(system) if part == POSTGRES else component(system, part)


def admin_key_secret(system: str) -> str:
    return f"{system}-admin-key"


def data_claim(system: str, part: str) -> str:
    """Name of the PVC that the StatefulSet of ``part`` makes for its only pod."""
    return f"data-{system}-{part}-0"


def kept_secrets(system: str) -> tuple[str, ...]:
    """The Secrets that outlive a system whose deletion policy is Retain: their values cannot be made twice."""
    return component(system, POSTGRES), component(system, NEO4J), admin_key_secret(system)


def own_secrets(system: str) -> tuple[str, ...]:
    """The Secrets of a system, those included that it does not need as it is."""
    return *kept_secrets(system), component(system, API)


def kept_claims(system: str) -> tuple[str, ...]:
    """The claims that outlive a system whose deletion policy is Retain."""
    return data_claim(system, POSTGRES), data_claim(system, NEO4J)


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
