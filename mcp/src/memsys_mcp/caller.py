"""Who is calling: the credentials, the project named by the connection and the request id of one request."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field

from starlette.datastructures import Headers

from memsys_mcp.oauth.grants import Principal

REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
SCOPE_KEY = "memsys.caller"

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the request in hand, for the log."""


class Unclear(Exception):
    """The request brings credentials that contradict each other; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: the holder of ``key``, which goes on to the API, or a ``principal`` that this server vouches for.

    Never both and never neither. A key is not believed here: the API checks it. A principal was verified.
    """

    key: str | None = field(default=None, repr=False)
    principal: Principal | None = None
    path_project: str | None = None
    header_project: str | None = None
    request_id: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __post_init__(self) -> None:
        if (self.key is None) == (self.principal is None):
            raise ValueError("a caller has a key of its own, or is somebody that this server vouches for")

    @property
    def fingerprint(self) -> str:
        """Stands for the caller where its key has no business. The same for every token of one subject and user.

        One subject may act for many users (``MEMSYS_MCP_OAUTH_USER_CLAIM``): each of them is a caller of its own.
        """
        if self.principal is None:
            parts = ["key", str(self.key)]
        else:
            user = self.principal.user_id
            parts = ["token", self.principal.issuer, self.principal.subject, *([] if user is None else [user])]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def credentials_of(headers: Headers) -> str | None:
    """What stands in ``Authorization: Bearer|Token …`` or ``X-API-Key``, and nowhere else; ``None`` for nothing.

    Raises :class:`Unclear` where several are sent that differ, or one that cannot be a header's value.
    """
    found = {value.strip() for value in headers.getlist("x-api-key") if value.strip()}
    for value in headers.getlist("authorization"):
        scheme, _, credentials = value.strip().partition(" ")
        if scheme.lower() in ("bearer", "token") and credentials.strip():
            found.add(credentials.strip())
    if len(found) > 1:
        raise Unclear("the request brings several credentials, and the server does not choose; send one of them")
    given = next(iter(found), None)
    if given is not None and not fits_a_header(given):
        raise Unclear("the credentials hold characters that no key and no token has")
    return given


def fits_a_header(credentials: str) -> bool:
    """Whether a key or token can be sent on: printable ASCII without blanks, as all of them are."""
    return credentials.isascii() and credentials.isprintable() and " " not in credentials


def request_id_of(headers: Mapping[str, str]) -> str:
    """The caller's own request id if it is fit for a log, else a new one."""
    given = headers.get("x-request-id", "")
    return given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
