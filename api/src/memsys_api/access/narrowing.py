"""A signed scope that narrows one request below what its key grants. Pure.

A server that calls on behalf of others presents its own key and, in ``X-Memsys-Scope``, says for whom and how far:
``base64url(json).base64url(HMAC-SHA256)``, without padding. The signing key is HMAC-SHA256 over :data:`LABEL` under the
presented key, so that a scope belongs to one key, whoever reads the stored hashes cannot sign, and whoever sees a scope
learns nothing of the key. The SDK's ``memsys.delegation`` is the other half.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import re
from base64 import urlsafe_b64decode
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from memsys_api.access.grants import PROJECT_NAME, Caller, Right
from memsys_api.problems import FORBIDDEN, UNAUTHENTICATED, FieldError, ProblemError, invalid

HEADER = "X-Memsys-Scope"
LABEL = b"memsys-scope-v1"
AUDIENCE = "memsys-api"
MAX_SECONDS = 60
SKEW_SECONDS = 5
ALL_PROJECTS = "*"
MAX_LENGTH = 8192

_PART = re.compile(r"[A-Za-z0-9_-]+")
_Id = Annotated[str, StringConstraints(min_length=1, max_length=256)]


class SignedScope(BaseModel):
    """What a signed scope says. ``projects`` are names, or ``*`` alone: those of the key."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    aud: Literal["memsys-api"]
    sub: Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]{1,256}$")]
    projects: list[Annotated[str, StringConstraints(pattern=rf"^(?:\*|{PROJECT_NAME.pattern})$")]]
    rights: list[Right]
    user_id: _Id | None = None
    agent_id: _Id | None = None
    exp: Annotated[int, Field(ge=0)]
    """Seconds since 1970, at most :data:`MAX_SECONDS` from now."""


def narrowed(caller: Caller, headers: Sequence[str], key: str, now: float) -> Caller:
    """The caller as the request's scope headers leave it; without one, as it was.

    ``key`` is the key that the request presented, ``now`` the time in seconds since 1970. Raises ``unauthenticated``
    for a scope that is not this key's or not of now, ``invalid-request`` for one that cannot be read, ``forbidden``
    for one of another user or agent than the key's.
    """
    if not headers:
        return caller
    if len(headers) > 1:
        raise invalid(HEADER, "was sent more than once")
    return narrow(caller, read(headers[0], key, now))


def read(header: str, key: str, now: float) -> SignedScope:
    """Check a signed scope and take it apart. Raises as :func:`narrowed` does."""
    parts = header.split(".")
    if len(header) > MAX_LENGTH or len(parts) != 2 or not all(_PART.fullmatch(part) for part in parts):
        raise invalid(HEADER, "is not base64url(json).base64url(signature)")
    expected = hmac.digest(signing_key(key), parts[0].encode(), hashlib.sha256)
    try:
        signature, document = (_decode(part) for part in reversed(parts))
    except binascii.Error:
        raise invalid(HEADER, "is not base64url(json).base64url(signature)") from None
    if not hmac.compare_digest(signature, expected):
        raise ProblemError(UNAUTHENTICATED, f"{HEADER}: is not signed with the key of this request")
    try:
        scope = SignedScope.model_validate_json(document)
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False, include_context=False)[0]
        raise invalid(HEADER, f"{'.'.join(map(str, problem['loc'])) or 'scope'}: {problem['msg']}") from None
    if ALL_PROJECTS in scope.projects and len(scope.projects) > 1:
        raise invalid(HEADER, f"projects: {ALL_PROJECTS!r} stands alone")
    if scope.exp <= now - SKEW_SECONDS:
        raise ProblemError(UNAUTHENTICATED, f"{HEADER}: has expired; sign one per request")
    if scope.exp > now + MAX_SECONDS + SKEW_SECONDS:
        raise ProblemError(UNAUTHENTICATED, f"{HEADER}: may be good for {MAX_SECONDS} s at most")
    return scope


def narrow(caller: Caller, scope: SignedScope) -> Caller:
    """What is left of the caller's grant: the intersection. Raises ``forbidden`` where a user or agent disagrees."""
    projects, default = caller.projects, caller.default_project
    if ALL_PROJECTS not in scope.projects:
        names = [name for name in scope.projects if projects is None or name in projects]
        projects = frozenset(names)
        if names and default not in projects:
            default = names[0]
    return replace(
        caller,
        name=f"{caller.name} (on behalf of {scope.sub})",
        subject=scope.sub,
        projects=projects,
        default_project=default,
        rights=caller.rights.intersection(scope.rights),
        user_id=_same("user_id", caller.user_id, scope.user_id),
        agent_id=_same("agent_id", caller.agent_id, scope.agent_id),
    )


def signing_key(key: str) -> bytes:
    """The key that signs the scopes of an API key."""
    return hmac.digest(key.encode(), LABEL, hashlib.sha256)


def _same(field: str, granted: str | None, asked: str | None) -> str | None:
    if granted is not None and asked is not None and granted != asked:
        raise ProblemError(
            FORBIDDEN,
            f"{HEADER}: the key is granted for another {field}",
            errors=[FieldError(HEADER, f"names another {field} than the key's")],
        )
    return granted if asked is None else asked


def _decode(part: str) -> bytes:
    return urlsafe_b64decode(part + "=" * (-len(part) % 4))
