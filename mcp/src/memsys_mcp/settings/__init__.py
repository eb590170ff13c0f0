"""The settings of the MCP server: environment variables, files of the same lower-case names, or a YAML file."""

from __future__ import annotations

import os
from ipaddress import ip_network
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
)

from memsys_mcp import projects
from memsys_mcp.projects import Isolation
from memsys_mcp.settings import config_file
from memsys_mcp.settings.auth import AuthSettings, Key, Names, split_names
from memsys_mcp.settings.queue import QueueSettings

SECRETS_DIR = "/run/secrets/memsys"


class Settings(AuthSettings, QueueSettings):
    """Precedence: environment, then files in ``MEMSYS_SECRETS_DIR``, then the YAML file ``MEMSYS_CONFIG``.

    Raises pydantic's ``ValidationError`` for wrong values, and :class:`~.config_file.ConfigUnusable` for that file.
    """

    model_config = SettingsConfigDict(env_prefix="", extra="ignore", populate_by_name=True, hide_input_in_errors=True)

    api_url: str = Field("http://127.0.0.1:8000", alias="MEMSYS_API_URL", description="Address of the memory API.")
    host: str = Field(
        "127.0.0.1", alias="MEMSYS_HOST", description="Address to listen on; *: every one, of IPv4 and of IPv6."
    )
    port: int = Field(8080, ge=0, le=65535, alias="MEMSYS_PORT", description="Port to listen on.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", alias="MEMSYS_LOG_LEVEL", description="Least severe level that is logged."
    )
    isolation: Isolation = Field(
        Isolation.AUTO,
        alias="MEMSYS_MCP_ISOLATION",
        description="auto: the project follows the client. manual: one named project. global: shared by all.",
    )
    project: str | None = Field(
        None,
        alias="MEMSYS_MCP_PROJECT",
        description="The project of `manual` (unset: each connection names its own) and of `global` "
        "(unset: the default project of the caller's key).",
    )
    api_key: Key | None = Field(
        None, alias="MEMSYS_API_KEY", description="Key to use on stdio. Over HTTP each caller brings its own."
    )
    allowed_hosts: Names = Field(
        (),
        alias="MEMSYS_MCP_ALLOWED_HOSTS",
        description="Host names the server may be called by, comma-separated, `*` as wildcard. Loopback, "
        "addresses, single-label names and `*.svc[.cluster.local]` are always allowed.",
    )
    allowed_origins: Names = Field(
        (),
        alias="MEMSYS_MCP_ALLOWED_ORIGINS",
        description="Web origins whose pages may call the server and read its answers (CORS), comma-separated, `*` as "
        "wildcard: `https://app.example.org`.",
    )
    trusted_proxies: Names = Field(
        ("127.0.0.1", "::1"),
        alias="MEMSYS_MCP_TRUSTED_PROXIES",
        description="Addresses and networks of the proxies whose X-Forwarded-For is believed, comma-separated. Wrong "
        "keys are slowed down by client address, and behind a proxy that is not named here all clients have one.",
    )
    timeout_seconds: float = Field(
        60.0,
        gt=0,
        alias="MEMSYS_MCP_TIMEOUT_SECONDS",
        description="Longest a tool waits for an API that is there, retries included.",
    )
    patience_seconds: float = Field(
        2.0,
        gt=0,
        alias="MEMSYS_MCP_PATIENCE_SECONDS",
        description="How long a tool waits before it asks whether the API is there at all.",
    )

    @field_validator("allowed_hosts", "allowed_origins", "trusted_proxies", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return split_names(value)

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for one in value:
            try:
                ip_network(one)
            except ValueError as error:
                raise ValueError(f"{error}; give addresses or networks, such as 10.42.0.0/16") from error
        return value

    @field_validator("project", mode="before")
    @classmethod
    def _project(cls, value: object) -> object:
        if value is None or value == "":
            return None
        try:
            return projects.validate(str(value), "MEMSYS_MCP_PROJECT")
        except projects.ProjectError as error:
            raise ValueError(str(error)) from error

    @model_validator(mode="after")
    def _fixed_project_needs_a_mode_that_uses_it(self) -> Settings:
        if self.isolation is Isolation.AUTO and self.project is not None:
            raise ValueError(
                "MEMSYS_MCP_PROJECT is set, but MEMSYS_MCP_ISOLATION is auto, which takes the project from the "
                "client; set MEMSYS_MCP_ISOLATION=manual, or unset MEMSYS_MCP_PROJECT"
            )
        return self

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
        secrets = Path(os.environ.get("MEMSYS_SECRETS_DIR", SECRETS_DIR))
        if secrets.is_dir():
            sources.append(SecretsSettingsSource(settings_cls, secrets_dir=secrets))
        if config := os.environ.get("MEMSYS_CONFIG"):
            known = {str(field.alias) for field in settings_cls.model_fields.values()}
            sources.append(InitSettingsSource(settings_cls, init_kwargs=config_file.read(Path(config), known)))
        return tuple(sources)
