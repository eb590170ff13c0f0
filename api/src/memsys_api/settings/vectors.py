"""Where vectors are searched: PostgreSQL itself, or an index beside it that is fed from there."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field
from pydantic_settings import BaseSettings

from memsys_api.settings.keys import ProviderKey


class VectorSettings(BaseSettings):
    """The external vector index. PostgreSQL holds every embedding whatever is chosen here."""

    vector_store: Literal["pgvector", "qdrant", "weaviate", "pinecone"] = Field(
        "pgvector",
        validation_alias="VECTOR_STORE",
        description="Where vectors are searched: pgvector is PostgreSQL itself; the others are fed from it, name "
        "candidates, and are never asked for anything else.",
    )
    vector_store_url: str | None = Field(
        None,
        validation_alias="VECTOR_STORE_URL",
        description="Where Qdrant or Weaviate listens, e.g. http://qdrant:6333; for Pinecone only where it is not "
        "https://api.pinecone.io.",
    )
    vector_store_grpc_url: str | None = Field(
        None,
        validation_alias="VECTOR_STORE_GRPC_URL",
        description="Where Weaviate answers gRPC; unset: port 50051 of VECTOR_STORE_URL's host.",
    )
    vector_store_api_key: ProviderKey | None = Field(
        None, validation_alias="VECTOR_STORE_API_KEY", description="Key for the external vector index."
    )
    vector_store_collection: str = Field(
        "memsys",
        pattern=r"^[a-z][a-z0-9]{0,30}$",
        validation_alias="VECTOR_STORE_COLLECTION",
        description="What the names of collections begin with; the generation of embeddings follows. Two systems that "
        "share an index need two of these.",
    )
    vector_store_cloud: Literal["aws", "gcp", "azure"] = Field(
        "aws",
        validation_alias="VECTOR_STORE_CLOUD",
        description="Pinecone's cloud, for an index that is yet to be made.",
    )
    vector_store_region: str = Field(
        "us-east-1", validation_alias="VECTOR_STORE_REGION", description="Pinecone's region, likewise."
    )
    vector_store_timeout_seconds: float = Field(
        5,
        ge=1,
        le=15,
        validation_alias="VECTOR_STORE_TIMEOUT_SECONDS",
        description="Longest that one call which writes to the external index may take.",
    )
    vector_search_timeout_seconds: float = Field(
        1,
        gt=0,
        le=10,
        validation_alias="VECTOR_SEARCH_TIMEOUT_SECONDS",
        description="Longest a search waits for the external index before PostgreSQL searches instead.",
    )

    def vector_problems(self) -> list[str]:
        """What keeps these settings from working together, each with the remedy."""
        problems = []
        if self.vector_store in ("qdrant", "weaviate") and not self.vector_store_url:
            problems.append(
                f"VECTOR_STORE_URL: is not set though VECTOR_STORE is {self.vector_store}; give http://host:port"
            )
        if self.vector_store == "pinecone" and self.vector_store_api_key is None:
            problems.append("VECTOR_STORE_API_KEY: is not set though VECTOR_STORE is pinecone")
        for name, url in (("URL", self.vector_store_url), ("GRPC_URL", self.vector_store_grpc_url)):
            if url is not None and not _is_http(url):
                problems.append(f"VECTOR_STORE_{name}: expected http://host:port or https://host:port, without a user")
        return problems


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.username is None and parts.port != 0
    except ValueError:
        return False
