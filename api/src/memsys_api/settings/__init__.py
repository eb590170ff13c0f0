"""Every setting of the API: name, default, meaning. The reference in the docs is generated from this class.

Each setting is read from, first match wins: the environment variable of its name; a file of the same name in
lower case in the folder ``MEMSYS_SECRETS_DIR``; the same lower-case name in the YAML file ``MEMSYS_CONFIG``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import yaml
from pydantic import ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
)

from memsys_api.settings.access import AccessSettings
from memsys_api.settings.accountability import AccountabilitySettings
from memsys_api.settings.events import EventSettings
from memsys_api.settings.models import ModelSettings
from memsys_api.settings.neptune import NeptuneSettings
from memsys_api.settings.reranking import RerankingSettings
from memsys_api.settings.server import ServerSettings
from memsys_api.settings.stores import PostgresSettings, StoreSettings
from memsys_api.settings.vectors import VectorSettings

_QUOTED = re.compile(r"(['\"])..+\1")
DEFAULT_SECRETS_DIR = "/run/secrets/memsys"


class SettingsError(Exception):
    """The settings cannot be used; the message lists every wrong one with what to do."""


class Settings(
    PostgresSettings,
    StoreSettings,
    VectorSettings,
    NeptuneSettings,
    ModelSettings,
    RerankingSettings,
    EventSettings,
    ServerSettings,
    AccessSettings,
    AccountabilitySettings,
):
    """The API's settings. Secrets print as stars."""

    model_config = SettingsConfigDict(extra="ignore", env_ignore_empty=True, validate_default=False)

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
        if self.graph_store == "neptune":
            if urlsplit(self.neptune_endpoint or "").scheme not in ("http", "https"):
                problems.append("NEPTUNE_ENDPOINT: expected https://<cluster endpoint>:8182, as GRAPH_STORE is neptune")
            if self.neptune_iam and not self.aws_region:
                problems.append("AWS_REGION: is not set though NEPTUNE_IAM is on; give the region of the cluster")
        if self.admin_key is None:
            problems.append("MEMSYS_ADMIN_KEY: is not set; give a random string of at least 16 characters")
        if self.service_accounts == "on" and not self.kubernetes_host:
            problems.append("MEMSYS_TOKEN_REVIEW: is on, but KUBERNETES_SERVICE_HOST is not set; it needs a cluster")
        problems += self.vector_problems() + self.accountability_problems()
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
    except (OSError, UnicodeError) as error:
        raise SettingsError(f"MEMSYS_CONFIG: cannot read {path}: {error}") from error
    except yaml.YAMLError as error:
        raise SettingsError(f"MEMSYS_CONFIG: {path} is not YAML: {_fault(error)}") from None
    if not isinstance(content, Mapping):
        raise SettingsError(f"MEMSYS_CONFIG: {path} must hold a mapping of setting names to values")
    known = {str(f.validation_alias) for f in Settings.model_fields.values()}
    if unknown := sorted(str(name) for name in content if str(name).upper() not in known):
        raise SettingsError(f"MEMSYS_CONFIG: {path} names unknown settings: {', '.join(unknown)}")
    return {str(name).upper(): value for name, value in content.items()}


def _fault(error: yaml.YAMLError) -> str:
    """What is wrong and where, without the line itself: it may hold a secret."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return type(error).__name__
    mark = error.problem_mark
    problem = _QUOTED.sub("…", error.problem or type(error).__name__)
    return f"{problem} (line {mark.line + 1}, column {mark.column + 1})"


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
