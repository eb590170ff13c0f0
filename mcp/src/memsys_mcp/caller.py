"""Who is calling: the key, the project named by the connection and the request id, read from one request's headers."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field

from memsys_mcp.projects import HEADER

REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
SCOPE_KEY = "memsys.caller"

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the request in hand, for the log."""


@dataclass(frozen=True, slots=True)
class Caller:
    """One request's own credentials and wishes. Nothing here is believed: the API checks the key."""

    key: str = field(repr=False)
    path_project: str | None = None
    header_project: str | None = None
    request_id: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def fingerprint(self) -> str:
        """Stands for the key where the key itself has no business."""
        return hashlib.sha256(self.key.encode()).hexdigest()


def read(headers: Mapping[str, str], path_project: str | None) -> Caller | None:
    """The caller of an HTTP request, or ``None`` where it brought no credentials. Header names are lower case."""
    key = key_of(headers)
    if key is None:
        return None
    return Caller(key, path_project, headers.get(HEADER.lower()), request_id_of(headers))


def key_of(headers: Mapping[str, str]) -> str | None:
    """The key in ``Authorization: Bearer|Token <key>`` or ``X-API-Key``."""
    scheme, _, credentials = headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() in ("bearer", "token") and credentials.strip():
        return _printable(credentials.strip())
    return _printable(headers.get("x-api-key", "").strip())


def request_id_of(headers: Mapping[str, str]) -> str:
    """The caller's own request id if it is fit for a log, else a new one."""
    given = headers.get("x-request-id", "")
    return given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def _printable(key: str) -> str | None:
    """The key, unless it could not be one: what goes on to the API must be a legal header value."""
    return key if key and key.isascii() and key.isprintable() and " " not in key else None
