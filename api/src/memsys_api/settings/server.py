"""The server itself."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field
from pydantic_settings import BaseSettings

from memsys_api.settings.keys import AdminKey


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


class ServerSettings(BaseSettings):
    """How the server listens, and how far it lets callers go."""

    admin_key: AdminKey | None = Field(
        None,
        validation_alias="MEMSYS_ADMIN_KEY",
        description="The key that may do everything; at least 16 characters of ASCII without blanks.",
    )
    host: str = Field(
        "*", validation_alias="MEMSYS_HOST", description="Address to listen on; *: every one, of IPv4 and of IPv6."
    )
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
    leave_seconds: float = Field(
        3,
        ge=0,
        le=60,
        validation_alias="MEMSYS_LEAVE_SECONDS",
        description="How long a server told to stop goes on serving while it asks its clients to connect elsewhere.",
    )
    shutdown_seconds: int = Field(
        25,
        ge=0,
        validation_alias="MEMSYS_SHUTDOWN_SECONDS",
        description="How long a stopping server lets accepted requests finish.",
    )
