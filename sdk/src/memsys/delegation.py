"""Calls on behalf of others: the signed scope by which a server narrows its own key for one request. Pure.

``X-Memsys-Scope: base64url(json).base64url(HMAC-SHA256)``, without padding, signed with a key derived from the API key
that the request presents. The service checks it and grants the intersection: it can only narrow.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import urlsafe_b64encode
from dataclasses import dataclass

HEADER = "X-Memsys-Scope"
GOOD_FOR_SECONDS = 60
"""The longest that the service accepts."""

_LABEL = b"memsys-scope-v1"
_AUDIENCE = "memsys-api"


@dataclass(frozen=True, slots=True)
class Delegation:
    """For whom a call is made, and how far it may reach.

    ``sub`` is the name that the service's audit shows. ``projects`` are names, the first of which is the default, or
    ``*`` alone for those of the key; ``rights`` are of ``read``, ``write``, ``admin``.
    """

    sub: str
    projects: tuple[str, ...]
    rights: tuple[str, ...]
    user_id: str | None = None
    agent_id: str | None = None

    def sign(self, key: str, now: float) -> str:
        """The header's value for a request that presents ``key`` at ``now``, in seconds since 1970."""
        fields = {
            "aud": _AUDIENCE,
            "sub": self.sub,
            "projects": self.projects,
            "rights": self.rights,
            "user_id": self.user_id,
            "agent_id": self.agent_id,
            "exp": int(now) + GOOD_FOR_SECONDS,
        }
        document = json.dumps({name: value for name, value in fields.items() if value is not None})
        payload = _encode(document.encode())
        signing_key = hmac.digest(key.encode(), _LABEL, hashlib.sha256)
        return f"{payload}.{_encode(hmac.digest(signing_key, payload.encode(), hashlib.sha256))}"


def _encode(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
