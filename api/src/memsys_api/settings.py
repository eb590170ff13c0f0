"""Every setting of the API: name, default, meaning. The reference in the docs is generated from this class.

Each setting is read from, first match wins: the environment variable of its name; a file of the same name in
lower case in the folder ``MEMSYS_SECRETS_DIR``; the same lower-case name in the YAML file ``MEMSYS_CONFIG``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

import yaml
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
)

DEFAULT_SECRETS_DIR = "/run/secrets/memsys"


class SettingsError(Exception):
    """The settings cannot be used; the message lists every wrong one with what to do."""


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


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


PostgresUrl = Annotated[SecretStr, AfterValidator(_postgres_url)]


class Settings(BaseSettings):
    """The API's settings. Secrets print as stars."""

    model_config = SettingsConfigDict(extra="ignore", env_ignore_empty=True, validate_default=False)

    # --- PostgreSQL
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

    # --- Stores
    vector_store: Literal["pgvector"] = Field(
        "pgvector", validation_alias="VECTOR_STORE", description="Where vectors are searched."
    )
    vector_precision: Literal["halfvec", "float32"] = Field(
        "halfvec", validation_alias="VECTOR_PRECISION", description="How vectors are stored: 2 or 4 bytes a number."
    )
    vector_index: Literal["auto", "exact", "hnsw"] = Field(
        "auto",
        validation_alias="VECTOR_INDEX",
        description="exact: always compare all vectors of the scope; hnsw: always the approximate index of the "
        "project, once built; auto: approximate only for scopes of more rows than VECTOR_EXACT_ROWS.",
    )
    vector_exact_rows: int = Field(
        20_000,
        ge=0,
        validation_alias="VECTOR_EXACT_ROWS",
        description="The largest scope, in memories, that is searched exactly when VECTOR_INDEX is auto.",
    )
    graph_store: Literal["neo4j", "none"] = Field(
        "none", validation_alias="GRAPH_STORE", description="Where the graph is kept."
    )
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

    # --- Models
    embedder_provider: str = Field(
        "builtin",
        validation_alias="EMBEDDER_PROVIDER",
        description="builtin (all-MiniLM-L6-v2 in this process), or a provider: openai, ollama, …",
    )
    embedder_model: str | None = Field(
        None, validation_alias="EMBEDDER_MODEL", description="The provider's name of the model."
    )
    embedder_dimensions: int | None = Field(
        None, ge=1, le=16_000, validation_alias="EMBEDDER_DIMENSIONS", description="The model's dimensions."
    )
    embedder_base_url: str | None = Field(
        None, validation_alias="EMBEDDER_BASE_URL", description="Where the provider listens, if not its default."
    )
    embedder_api_key: SecretStr | None = Field(
        None, validation_alias="EMBEDDER_API_KEY", description="Key for the embedding provider."
    )
    llm_provider: str = Field(
        "none", validation_alias="LLM_PROVIDER", description="none, or a provider: openai, ollama, anthropic, …"
    )
    llm_model: str | None = Field(
        None, validation_alias="LLM_MODEL", description="The provider's name of the language model."
    )
    llm_base_url: str | None = Field(
        None, validation_alias="LLM_BASE_URL", description="Where the provider listens, if not its default."
    )
    llm_api_key: SecretStr | None = Field(
        None, validation_alias="LLM_API_KEY", description="Key for the language model's provider."
    )
    llm_timeout_seconds: float = Field(
        60,
        gt=0,
        le=600,
        validation_alias="LLM_TIMEOUT_SECONDS",
        description="Longest one inference may take, a second try after an unreadable answer included.",
    )
    llm_max_tokens: int = Field(
        4000, ge=1, validation_alias="LLM_MAX_TOKENS", description="Most tokens the language model may answer with."
    )
    llm_concurrency: int = Field(
        8,
        ge=1,
        le=64,
        validation_alias="LLM_CONCURRENCY",
        description="Most calls of the language model that one replica makes at once.",
    )
    llm_retry_base_seconds: float = Field(
        1,
        gt=0,
        le=60,
        validation_alias="LLM_RETRY_BASE_SECONDS",
        description="First of the six waits between a back-fill's seven attempts; each is twice the one before.",
    )
    llm_options: dict[str, Any] = Field(
        default_factory=dict,
        validation_alias="LLM_OPTIONS",
        description="Options that only this provider has, as a JSON object.",
    )
    ollama_base_url: str | None = Field(
        None, validation_alias="OLLAMA_BASE_URL", description="Ollama, for embedder and language model alike."
    )
    model_dir: Path = Field(
        Path("/opt/memsys/models"), validation_alias="MEMSYS_MODEL_DIR", description="The built-in model's folder."
    )

    # --- The server
    admin_key: SecretStr | None = Field(
        None,
        min_length=16,
        validation_alias="MEMSYS_ADMIN_KEY",
        description="The key that may do everything; at least 16 characters.",
    )
    host: str = Field("0.0.0.0", validation_alias="MEMSYS_HOST", description="Address to listen on.")  # noqa: S104
    port: int = Field(8000, ge=1, le=65_535, validation_alias="MEMSYS_PORT", description="Port to listen on.")
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(_upper)] = Field(
        "INFO", validation_alias="MEMSYS_LOG_LEVEL", description="Least severe level that is logged."
    )
    max_body_bytes: int = Field(
        4 * 1024 * 1024,
        ge=1024,
        validation_alias="MEMSYS_MAX_BODY_BYTES",
        description="Largest request body; more is answered 413.",
    )
    shutdown_seconds: int = Field(
        25,
        ge=0,
        validation_alias="MEMSYS_SHUTDOWN_SECONDS",
        description="How long a stopping server lets accepted requests finish.",
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        problems = []
        if self.database_url is None:
            if self.supabase_url is None:
                problems.append("DATABASE_URL: is not set; give postgresql://user:password@host:5432/database")
            self.database_url = self.supabase_url
        if self.graph_store == "neo4j":
            if not self.neo4j_uri:
                problems.append("NEO4J_URI: is not set though GRAPH_STORE is neo4j; give bolt://host:7687")
            elif urlsplit(self.neo4j_uri).scheme.split("+")[0] not in ("bolt", "neo4j"):
                problems.append("NEO4J_URI: expected bolt://host:7687 or neo4j://host:7687")
            if self.neo4j_password is None:
                problems.append("NEO4J_PASSWORD: is not set though GRAPH_STORE is neo4j")
        if self.admin_key is None:
            problems.append("MEMSYS_ADMIN_KEY: is not set; give a random string of at least 16 characters")
        if problems:
            raise ValueError("\n".join(problems))
        return self

    @property
    def serving_url(self) -> str:
        """The PostgreSQL URL that requests use."""
        assert self.database_url is not None  # held by _complete
        return self.database_url.get_secret_value()

    @property
    def migration_url(self) -> str:
        """The PostgreSQL URL that migrations use."""
        return self.database_owner_url.get_secret_value() if self.database_owner_url else self.serving_url

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        sources = [init_settings, env_settings]
        folder = os.environ.get("MEMSYS_SECRETS_DIR", DEFAULT_SECRETS_DIR)
        if Path(folder).is_dir():
            sources.append(SecretsSettingsSource(settings_cls, secrets_dir=folder))
        if path := os.environ.get("MEMSYS_CONFIG"):
            sources.append(InitSettingsSource(settings_cls, init_kwargs=_read_yaml(Path(path))))
        return tuple(sources)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text()) or {}
    except (OSError, yaml.YAMLError) as error:
        raise SettingsError(f"MEMSYS_CONFIG: cannot read {path}: {error}") from error
    if not isinstance(content, Mapping):
        raise SettingsError(f"MEMSYS_CONFIG: {path} must hold a mapping of setting names to values")
    known = {str(f.validation_alias) for f in Settings.model_fields.values()}
    if unknown := sorted(str(name) for name in content if str(name).upper() not in known):
        raise SettingsError(f"MEMSYS_CONFIG: {path} names unknown settings: {', '.join(unknown)}")
    return {str(name).upper(): value for name, value in content.items()}


def load() -> Settings:
    """Read the settings. Raises :class:`SettingsError` that names every bad field at once, without its value."""
    try:
        return Settings()
    except ValidationError as error:
        lines = []
        for problem in error.errors(include_input=False, include_url=False):
            field = ".".join(str(part) for part in problem["loc"])
            message = problem["msg"].removeprefix("Value error, ")
            lines.append(f"{field}: {message}" if field else message)
        raise SettingsError("the settings cannot be used:\n" + "\n".join(lines)) from None
