"""Where a client gets a token, and for what: protected-resource metadata (RFC 9728) and challenges (RFC 6750). Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

WELL_KNOWN = "/.well-known/oauth-protected-resource"
_RESOURCE = re.compile(r"(?:/p/[^/]+)?/(?:mcp|sse)")
_MESSAGES = re.compile(r"((?:/p/[^/]+)?)/messages/?")


def resource_path(path: str) -> str | None:
    """The resource that a request path belongs to: itself, or for messages of an SSE session its ``…/sse``."""
    messages = _MESSAGES.fullmatch(path)
    path = f"{messages[1]}/sse" if messages else path.rstrip("/")
    return path if _RESOURCE.fullmatch(path) else None


def document(resource: str, issuers: Sequence[str], scopes: Sequence[str]) -> dict[str, Any]:
    """The metadata of one resource."""
    found: dict[str, Any] = {
        "resource": resource,
        "authorization_servers": list(issuers),
        "bearer_methods_supported": ["header"],
        "resource_name": "memsys",
    }
    return {**found, "scopes_supported": list(scopes)} if scopes else found


def challenge(
    metadata_url: str | None, *, error: str | None = None, description: str | None = None, scopes: Sequence[str] = ()
) -> str:
    """The value of ``WWW-Authenticate``."""
    fields = {
        "realm": "memsys",
        "error": error,
        "error_description": description,
        "scope": " ".join(scopes) or None,
        "resource_metadata": metadata_url,
    }
    return "Bearer " + ", ".join(f'{name}="{_quoted(value)}"' for name, value in fields.items() if value is not None)


def _quoted(value: str) -> str:
    """As it may stand between quotes (RFC 6750, section 3): printable ASCII without quotes and backslashes."""
    return re.sub(r"[^\x20\x21\x23-\x5b\x5d-\x7e]", "'", value)
