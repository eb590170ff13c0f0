"""Who is told of changes: webhooks and the change stream."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated

from cryptography.fernet import Fernet
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, NoDecode

Network = IPv4Network | IPv6Network


def _networks(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return tuple(ip_network(part.strip()) for part in value.split(",") if part.strip())
    except ValueError as error:
        raise ValueError(f"expected networks such as 10.0.0.0/8,fd00::/8: {error}") from None


def split_keys(value: SecretStr | None) -> list[str]:
    """The keys of a list with commas."""
    return [part.strip() for part in value.get_secret_value().split(",") if part.strip()] if value else []


def _fernet_keys(value: SecretStr) -> SecretStr:
    for place, key in enumerate(split_keys(value), 1):
        try:
            Fernet(key)
        except ValueError:
            raise ValueError(f"key {place} is not 32 random bytes in URL-safe base64") from None
    return value


class EventSettings(BaseSettings):
    """Webhooks and the change stream."""

    webhooks_enabled: bool = Field(
        True,
        validation_alias="WEBHOOKS_ENABLED",
        description="Whether webhooks can be registered and are called. Nothing is sent that no admin registered.",
    )
    webhook_allowed_networks: Annotated[tuple[Network, ...], NoDecode, BeforeValidator(_networks)] = Field(
        (),
        validation_alias="WEBHOOK_ALLOWED_NETWORKS",
        description="Networks inside which webhooks may be called although they are not public, such as "
        "10.96.0.0/12 for Services of this cluster; with commas between them. Plain http is for these alone.",
    )
    webhook_timeout_seconds: float = Field(
        10,
        gt=0,
        le=60,
        validation_alias="WEBHOOK_TIMEOUT_SECONDS",
        description="Longest one call of a webhook may take, from its name to its answer.",
    )
    webhook_retry_base_seconds: float = Field(
        1,
        gt=0,
        le=60,
        validation_alias="WEBHOOK_RETRY_BASE_SECONDS",
        description="First of the six waits between a delivery's seven attempts; each is twice the one before.",
    )
    webhook_secret_keys: Annotated[SecretStr, AfterValidator(_fernet_keys)] | None = Field(
        None,
        validation_alias="WEBHOOK_SECRET_KEYS",
        description="Keys that seal webhooks' signing secrets in the database, each 32 random bytes in URL-safe "
        "base64, with commas between them; the first seals, all open. Unset: secrets are stored as they are.",
    )
    changes_max_streams: int = Field(
        100,
        ge=0,
        le=10_000,
        validation_alias="CHANGES_MAX_STREAMS",
        description="Most change streams that one replica serves at once, three quarters of them of one project.",
    )
    changes_heartbeat_seconds: float = Field(
        15,
        gt=0,
        le=300,
        validation_alias="CHANGES_HEARTBEAT_SECONDS",
        description="Longest silence of a change stream.",
    )
