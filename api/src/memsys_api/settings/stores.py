"""Where memories are kept: PostgreSQL, the vectors' precision and index, the graph."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import BaseSettings

from memsys_api.model import GraphStore, IndexMode


def _postgres_url(value: SecretStr) -> SecretStr:
    if urlsplit(value.get_secret_value()).scheme not in ("postgresql", "postgres"):
        raise ValueError("expected a URL such as postgresql://user:password@host:5432/database")
    return value


def _supabase_url(value: SecretStr) -> SecretStr:
    if urlsplit(value.get_secret_value()).scheme in ("http", "https"):
        raise ValueError(
            "this is Supabase's HTTP address; memsys speaks PostgreSQL: use the connection string from the "
            "project's 'Connect' page, postgresql://postgres.<ref>:<password>@<host>:5432/postgres"
        )
    return _postgres_url(value)


PostgresUrl = Annotated[SecretStr, AfterValidator(_postgres_url)]


class PostgresSettings(BaseSettings):
    """PostgreSQL, the one source of truth."""

    database_url: PostgresUrl | None = Field(
        None, validation_alias="DATABASE_URL", description="PostgreSQL, as the role that serves requests."
    )
    database_owner_url: PostgresUrl | None = Field(
        None,
        validation_alias="DATABASE_OWNER_URL",
        description="PostgreSQL, as the role that owns the tables and runs migrations; unset: DATABASE_URL.",
    )
    supabase_url: Annotated[SecretStr, AfterValidator(_supabase_url)] | None = Field(
        None,
        validation_alias="SUPABASE_URL",
        description="Supabase's PostgreSQL connection string; the same as DATABASE_URL.",
    )
    database_pool_size: int = Field(
        16, ge=2, le=500, validation_alias="DATABASE_POOL_SIZE", description="Most connections of one replica."
    )
    database_timeout_seconds: float = Field(
        10,
        gt=0,
        le=300,
        validation_alias="DATABASE_TIMEOUT_SECONDS",
        description="Longest time one statement may run, and longest wait for a connection.",
    )
    database_prepared_statements: bool = Field(
        True,
        validation_alias="DATABASE_PREPARED_STATEMENTS",
        description="Whether to prepare repeated statements; false behind a transaction pooler that cannot.",
    )


class StoreSettings(BaseSettings):
    """How vectors are searched, and the graph."""

    vector_precision: Literal["halfvec", "float32"] = Field(
        "halfvec", validation_alias="VECTOR_PRECISION", description="How vectors are stored: 2 or 4 bytes a number."
    )
    vector_index: IndexMode = Field(
        "auto",
        validation_alias="VECTOR_INDEX",
        description="exact: always compare all vectors of the scope; hnsw: always the approximate index of the "
        "project, once built; auto: approximate only for scopes of more rows than VECTOR_EXACT_ROWS.",
    )
    vector_exact_rows: int = Field(
        5_000,
        ge=0,
        validation_alias="VECTOR_EXACT_ROWS",
        description="The largest scope, in memories, that is searched exactly when VECTOR_INDEX is auto.",
    )
    graph_store: GraphStore = Field("none", validation_alias="GRAPH_STORE", description="Where the graph is kept.")
    neo4j_uri: str | None = Field(None, validation_alias="NEO4J_URI", description="Neo4j, e.g. bolt://host:7687.")
    neo4j_user: str = Field("neo4j", validation_alias="NEO4J_USER", description="Neo4j's user.")
    neo4j_password: SecretStr | None = Field(None, validation_alias="NEO4J_PASSWORD", description="Neo4j's password.")
    graph_search_timeout_seconds: float = Field(
        0.3,
        gt=0,
        le=10,
        validation_alias="GRAPH_SEARCH_TIMEOUT_SECONDS",
        description="Longest a search waits for the graph before it answers without.",
    )
    graph_retry_base_seconds: float = Field(
        1,
        gt=0,
        le=60,
        validation_alias="GRAPH_RETRY_BASE_SECONDS",
        description="First of the six waits between a delivery's seven attempts; each is twice the one before.",
    )
