"""The typed spec of a MemorySystem, as the CRD admits it. No I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from memsys_operator import models
from memsys_operator.errors import Rejected

M = TypeVar("M", bound=BaseModel)

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
#: A DNS-1123 subdomain, as objects are named, and a DNS-1123 label, as namespaces are. A name becomes a segment of a
#: path of the apiserver: an object stored before the CRD had its patterns must not lead elsewhere either.
Name = Annotated[str, Field(max_length=253, pattern=rf"^{_LABEL}(\.{_LABEL})*$")]
Namespace = Annotated[str, Field(max_length=63, pattern=rf"^{_LABEL}$")]
SecretKey = Annotated[str, Field(max_length=253, pattern=r"^[.]?[-_a-zA-Z0-9][-._a-zA-Z0-9]*$")]
_ANNOTATION = re.compile(
    r"([A-Za-z0-9]([-A-Za-z0-9.]{0,251}[A-Za-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
)


def _annotation_key(key: str) -> str:
    if not _ANNOTATION.fullmatch(key):
        raise ValueError(
            "expected a name of at most 63 letters, digits, '-', '_' and '.', with a domain before it if it has one, "
            "such as example.com/name"
        )
    return key


Annotations = dict[Annotated[str, AfterValidator(_annotation_key)], str]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel)


class SecretKeyRef(_Model):
    name: Name
    key: SecretKey = "api-key"


class LocalObjectRef(_Model):
    name: Name


class Resources(_Model):
    """Compute resources of one container, passed on as they are."""

    requests: dict[str, str | int] = {}
    limits: dict[str, str | int] = {}

    def manifest(self) -> dict[str, dict[str, str]]:
        both = {"requests": self.requests, "limits": self.limits}
        return {kind: {k: str(v) for k, v in values.items()} for kind, values in both.items() if values}


def _resources(cpu: str, memory: str, limit: str) -> Any:
    return Field(default_factory=lambda: Resources(requests={"cpu": cpu, "memory": memory}, limits={"memory": limit}))


class Storage(_Model):
    size: str = "10Gi"
    storage_class_name: str | None = None


class Images(_Model):
    postgres: str | None = None
    neo4j: str | None = Field(default=None, alias="neo4j")
    api: str | None = None
    mcp: str | None = None
    pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    pull_secrets: tuple[LocalObjectRef, ...] = ()


class Embedder(_Model):
    provider: Literal["builtin", "openai", "ollama", "together", "lmstudio", "gemini", "aws_bedrock"] = "builtin"
    model: str | None = None
    dimensions: int | None = None
    base_url: str | None = Field(default=None, alias="baseURL")
    api_key_secret_ref: SecretKeyRef | None = None


class LLM(_Model):
    provider: Literal[
        "none", "openai", "ollama", "anthropic", "openai_structured", "groq", "together", "gemini", "aws_bedrock",
        "deepseek", "minimax", "xai", "sarvam", "lmstudio", "vllm",
    ] = "none"  # fmt: skip
    model: str | None = None
    base_url: str | None = Field(default=None, alias="baseURL")
    api_key_secret_ref: SecretKeyRef | None = None


class Reranker(_Model):
    provider: Literal["none", "llm", "cohere"] = "none"
    model: str | None = None
    base_url: str | None = Field(default=None, alias="baseURL")
    api_key_secret_ref: SecretKeyRef | None = None
    top_n: int = 20
    timeout_seconds: int = 5


class VectorStore(_Model):
    provider: Literal["pgvector", "qdrant", "weaviate", "pinecone"] = "pgvector"
    precision: models.Precision = "halfvec"
    index: models.Index = "auto"
    url: str | None = None
    grpc_url: str | None = Field(default=None, alias="grpcURL")
    api_key_secret_ref: SecretKeyRef | None = None
    collection: str | None = None
    cloud: Literal["aws", "gcp", "azure"] | None = None
    region: str | None = None


class Postgres(_Model):
    port: int = 5432
    storage: Storage = Storage()
    resources: Resources = _resources("100m", "256Mi", "1Gi")
    parameters: dict[str, str] = {}


GraphProvider = Literal["neo4j", "neptune", "none"]


class _GraphProvider(BaseModel):
    """Of :class:`Graph` this alone, whatever else is in it."""

    provider: GraphProvider = "neo4j"


class GraphPorts(_Model):
    http: int = 7474
    bolt: int = 7687


class Neptune(_Model):
    endpoint: str
    region: str | None = None
    iam_auth: bool = True


class Graph(_Model):
    provider: GraphProvider = "neo4j"
    neptune: Neptune | None = None
    ports: GraphPorts = GraphPorts()
    storage: Storage = Storage()
    resources: Resources = _resources("200m", "1Gi", "1536Mi")
    heap: str = "512m"
    page_cache: str = "256m"


class SealingKeysRef(_Model):
    name: Name
    key: SecretKey = "keys"


class Webhooks(_Model):
    enabled: bool = True
    allowed_networks: tuple[str, ...] = ()
    sealing_keys_secret_ref: SealingKeysRef | None = None


class Retention(_Model):
    """In days. Zero: for ever."""

    audit_days: int = 365
    backup_days: int | None = None
    erasure_ledger_days: int = 0


class API(_Model):
    replicas: int = 1
    port: int = 8000
    resources: Resources = _resources("100m", "384Mi", "1Gi")
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    requests_per_minute: int | None = None
    llm_tokens_per_day: int | None = None
    quarantine: Literal["off", "flag", "hold", "refuse"] = "flag"
    webhooks: Webhooks = Webhooks()
    retention: Retention = Retention()
    token_review: bool = False
    service_account_annotations: Annotations = {}


class MCPKeyRef(_Model):
    """The Secret of a MemoryKey keeps its key under ``key``."""

    name: Name
    key: SecretKey = "key"


class OAuth(_Model):
    issuers: tuple[str, ...]
    audiences: tuple[str, ...] = ()
    jwks_url: str | None = Field(default=None, alias="jwksURL")
    scope_pattern: str | None = None
    projects_claim: str | None = None
    user_claim: str | None = None


class MCP(_Model):
    replicas: int = 1
    port: int = 8080
    resources: Resources = _resources("50m", "128Mi", "512Mi")
    isolation: Literal["auto", "manual", "global"] = "auto"
    project: str | None = None
    allowed_hosts: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    auth: Literal["keys", "keys+oauth", "none-i-understand-that-anyone-may-read-and-write"] = "keys"
    oauth: OAuth | None = None
    api_key_secret_ref: MCPKeyRef | None = None
    public_url: str | None = Field(default=None, alias="publicURL")
    write_queue: int | None = None
    write_queue_hours: int = 48


class Exposed(_Model):
    host: str


class GatewayRef(_Model):
    name: Name
    namespace: Namespace | None = None
    section_name: Name | None = None


class CertManagerIssuer(_Model):
    name: Name
    kind: Literal["ClusterIssuer", "Issuer"] = "ClusterIssuer"


class TLS(_Model):
    secret_name: Name | None = None
    cert_manager_issuer: CertManagerIssuer | None = None


class Expose(_Model):
    mcp: Exposed | None = None
    api: Exposed | None = None
    class_name: Name | None = None
    gateway: GatewayRef | None = None
    tls: TLS | None = None
    annotations: Annotations = {}

    @property
    def hosts(self) -> dict[str, str]:
        """The host name of each part that is exposed."""
        parts = {"mcp": self.mcp, "api": self.api}
        return {part: exposed.host for part, exposed in parts.items() if exposed is not None}


class Tracing(_Model):
    otlp_endpoint: str | None = None


class Sync(_Model):
    interval_seconds: int = 30
    drift_interval_seconds: int = 600


class Spec(_Model):
    deletion_policy: Literal["Retain", "Delete"] = "Retain"
    paused: bool = False
    images: Images = Images()
    embedder: Embedder = Embedder()
    llm: LLM = LLM()
    reranker: Reranker = Reranker()
    vector_store: VectorStore = VectorStore()
    graph: Graph = Graph()
    postgres: Postgres = Field(default_factory=Postgres)
    api: API = Field(default_factory=API)
    mcp: MCP = Field(default_factory=MCP)
    expose: Expose | None = None
    tracing: Tracing = Tracing()
    sync: Sync = Sync()


@dataclass(frozen=True, slots=True)
class Ref:
    """Where a system lives; the key of everything the operator remembers."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class System:
    """One MemorySystem: identity, typed spec and the settled embedding."""

    ref: Ref
    uid: str
    generation: int
    spec: Spec
    embedding: models.Embedding
    annotations: Mapping[str, str]

    @property
    def name(self) -> str:
        return self.ref.name

    @property
    def namespace(self) -> str:
        return self.ref.namespace

    @property
    def graph_enabled(self) -> bool:
        """Whether there is a graph, wherever it is kept."""
        return self.spec.graph.provider != "none"

    @property
    def runs_neo4j(self) -> bool:
        return self.spec.graph.provider == "neo4j"

    @property
    def retains(self) -> bool:
        return self.spec.deletion_policy == "Retain"


def typed(model: type[M], obj: Mapping[str, Any]) -> M:
    """The spec of an object as a model. Raises :class:`Rejected` naming the first field that it does not admit."""
    try:
        return model.model_validate(obj.get("spec") or {})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(["spec", *(str(part) for part in first["loc"] if part != "[key]")])
        message = first["msg"].removeprefix("Value error, ")
        raise Rejected(f"{field}: {message}; remove or correct the field") from error


def graph_provider(obj: Mapping[str, Any]) -> GraphProvider | None:
    """Where the graph of a MemorySystem shall be, read alone: also of a spec that :func:`parse` rejects for something
    else. None where not even that can be read."""
    graph = (obj.get("spec") or {}).get("graph")
    try:
        return _GraphProvider.model_validate({} if graph is None else graph).provider
    except ValidationError:
        return None


def graph_looks(obj: Mapping[str, Any]) -> Sync:
    """How often to look at the graph of a MemorySystem, read alone in the same way; else as often as by default."""
    try:
        return typed(Sync, {"spec": (obj.get("spec") or {}).get("sync")})
    except Rejected:
        return Sync()


def parse(obj: Mapping[str, Any]) -> System:
    """The typed system of a MemorySystem object.

    Raises :class:`Rejected` naming the field when the object holds what this operator cannot carry out
    (the CRD refuses most of it earlier; a newer CRD may admit more than this operator knows).
    """
    spec = typed(Spec, obj)
    meta = obj["metadata"]
    return System(
        ref=Ref(meta["namespace"], meta["name"]),
        uid=meta["uid"],
        generation=meta.get("generation", 0),
        spec=spec,
        embedding=models.choose(
            provider=spec.embedder.provider,
            model=spec.embedder.model,
            dimensions=spec.embedder.dimensions,
            precision=spec.vector_store.precision,
            index=spec.vector_store.index,
        ),
        annotations=meta.get("annotations") or {},
    )
