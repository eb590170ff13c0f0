"""Who may call over HTTP: API keys, access tokens, or, if it is said in words, anybody."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode

from memsys_mcp.caller import fits_a_header
from memsys_mcp.oauth.grants import DEFAULT_PATTERN, ScopePattern
from memsys_mcp.oauth.keysets import is_trustworthy
from memsys_mcp.oauth.tokens import ALGORITHMS

Names = Annotated[tuple[str, ...], NoDecode]


def _key(value: SecretStr) -> SecretStr:
    key = value.get_secret_value().strip()  # what `echo` wrote to a Secret ends in a line end
    if not key:
        raise ValueError("is empty; give the key, or unset it")
    if not fits_a_header(key):
        raise ValueError("has a blank or a character that no key has, such as a typographic quote; copy it anew")
    return SecretStr(key)


Key = Annotated[SecretStr, AfterValidator(_key)]


def split_names(value: object) -> object:
    """The names in a comma-separated text; anything else as it is."""
    if isinstance(value, str):
        return tuple(name.strip() for name in value.split(",") if name.strip())
    return value


class Auth(Enum):
    """Which credentials a server takes."""

    KEYS = "keys"
    KEYS_AND_OAUTH = "keys+oauth"
    NONE = "none-i-understand-that-anyone-may-read-and-write"


class AuthSettings(BaseSettings):
    """Settings of authorisation."""

    auth: Auth = Field(
        Auth.KEYS,
        alias="MEMSYS_MCP_AUTH",
        description="keys: every caller brings an API key. keys+oauth: or an access token of a configured issuer. "
        "none-i-understand-that-anyone-may-read-and-write: a caller without credentials uses the server's own key.",
    )
    service_key: Key | None = Field(
        None,
        alias="MEMSYS_MCP_API_KEY",
        description="The server's own key for the API, used for callers with an access token, narrowed to what the "
        "token grants. Give it the projects and rights that tokens may grant at most.",
    )
    public_url: str | None = Field(
        None,
        alias="MEMSYS_MCP_PUBLIC_URL",
        description="How clients reach this server: scheme and host, such as https://memory.example.org. Access tokens "
        "have to be issued for an address below it.",
    )
    oauth_issuers: Names = Field(
        (),
        alias="MEMSYS_MCP_OAUTH_ISSUER",
        description="The authorization servers whose tokens are accepted, exactly as in their `iss`, comma-separated.",
    )
    oauth_audiences: Names = Field(
        (),
        alias="MEMSYS_MCP_OAUTH_AUDIENCE",
        description="Audiences accepted beside the called address (`<public url>/p/<project>/mcp`), comma-separated; "
        "for issuers that know no resource indicators.",
    )
    oauth_jwks_url: str | None = Field(
        None,
        alias="MEMSYS_MCP_OAUTH_JWKS_URL",
        description="Where the issuer publishes its keys; unset: as its metadata says.",
    )
    oauth_algorithms: Names = Field(
        ("RS256", "ES256"),
        alias="MEMSYS_MCP_OAUTH_ALGORITHMS",
        description="Signature algorithms that are accepted, comma-separated; public-key ones alone.",
    )
    oauth_scope_pattern: str = Field(
        DEFAULT_PATTERN,
        alias="MEMSYS_MCP_OAUTH_SCOPE_PATTERN",
        description="How a scope names a project and a right (`read`, `write`). `*` as project means every project of "
        "MEMSYS_MCP_API_KEY.",
    )
    oauth_projects_claim: str | None = Field(
        None,
        alias="MEMSYS_MCP_OAUTH_PROJECTS_CLAIM",
        description="A claim that lists projects: `name` (read and write), `name:read` or `name:write`.",
    )
    oauth_user_claim: str | None = Field(
        None,
        alias="MEMSYS_MCP_OAUTH_USER_CLAIM",
        description="A claim that is the user_id whose memories alone the token reaches, such as `sub`; unset: all "
        "users of the granted projects.",
    )

    @field_validator("oauth_issuers", "oauth_audiences", "oauth_algorithms", mode="before")
    @classmethod
    def _names(cls, value: object) -> object:
        return split_names(value)

    @field_validator("oauth_scope_pattern")
    @classmethod
    def _pattern(cls, value: str) -> str:
        ScopePattern(value)
        return value

    @field_validator("public_url")
    @classmethod
    def _public_url(cls, value: str | None) -> str | None:
        if not value:
            return None
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
            raise ValueError(f"{value!r} is not a scheme and a host, such as https://memory.example.org")
        return f"{parts.scheme}://{parts.netloc.lower()}"

    @model_validator(mode="after")
    def _auth_has_what_it_needs(self) -> Self:
        oauth, anyone = self.auth is Auth.KEYS_AND_OAUTH, self.auth is Auth.NONE
        wrong = [
            (oauth and not self.oauth_issuers, "MEMSYS_MCP_OAUTH_ISSUER is not set; name who issues the tokens"),
            (oauth and not self.public_url, "MEMSYS_MCP_PUBLIC_URL is not set; tokens are issued for that address"),
            ((oauth or anyone) and self.service_key is None, "MEMSYS_MCP_API_KEY is not set; tokens are not passed on"),
            (not oauth and bool(self.oauth_issuers), "MEMSYS_MCP_OAUTH_ISSUER is set, but tokens are not accepted"),
            (
                self.oauth_jwks_url is not None and len(self.oauth_issuers) != 1,
                "MEMSYS_MCP_OAUTH_JWKS_URL is for one issuer; with several each one's metadata says where its keys are",
            ),
        ]
        problems = [text for is_wrong, text in wrong if is_wrong]
        problems += [
            f"{url!r}: must be https, or http within the machine or cluster"
            for url in (*self.oauth_issuers, self.oauth_jwks_url)
            if url is not None and not is_trustworthy(url)
        ]
        if unknown := sorted(set(self.oauth_algorithms) - ALGORITHMS):
            problems.append(
                f"MEMSYS_MCP_OAUTH_ALGORITHMS: {', '.join(unknown)}: not among {', '.join(sorted(ALGORITHMS))}"
            )
        if problems:
            raise ValueError(f"MEMSYS_MCP_AUTH={self.auth.value}: {'; '.join(problems)}")
        return self
