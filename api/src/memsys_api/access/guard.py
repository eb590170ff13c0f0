"""Recognises callers by their keys."""

from __future__ import annotations

import time
from collections import OrderedDict
from datetime import UTC, datetime

from starlette.requests import Request

from memsys_api.access import secrets
from memsys_api.access.grants import DEFAULT_PROJECT, Caller
from memsys_api.access.narrowing import HEADER, narrowed
from memsys_api.problems import UNAUTHENTICATED, ProblemError
from memsys_api.store import keys
from memsys_api.store.database import Database

_FRESH_SECONDS = 1.0  # a revoked key is refused by every replica within this
_REMEMBERED = 10_000
_ALL_RIGHTS = frozenset({"read", "write", "admin"})


class Guard:
    """Turns the key of a request into a :class:`Caller`."""

    def __init__(self, database: Database, admin_key: str) -> None:
        self._database = database
        self._admin_key = admin_key
        self._admin = Caller("admin", "admin", None, DEFAULT_PROJECT, _ALL_RIGHTS)
        self._cache: OrderedDict[str, tuple[float, keys.StoredKey | None]] = OrderedDict()

    async def caller(self, request: Request) -> Caller:
        """Who asks, and no further than a signed scope allows.

        Raises an ``unauthenticated`` problem, the same for every kind of wrong key; for a scope see ``narrowing``.
        """
        given = presented_key(request)
        if given is None:
            raise ProblemError(
                UNAUTHENTICATED, "give an API key: Authorization: Bearer <key>, Authorization: Token <key> or X-API-Key"
            )
        return narrowed(await self._known(given), request.headers.getlist(HEADER), given, time.time())

    async def _known(self, given: str) -> Caller:
        """The caller of a key, as the key grants."""
        if secrets.same(given, self._admin_key):
            return self._admin
        parts = secrets.parse(given)
        stored = await self._find(parts.id) if parts else None
        if parts is None or stored is None or not _opens(stored, parts.secret, datetime.now(UTC)):
            raise ProblemError(UNAUTHENTICATED, "the API key is not valid")
        return _caller(stored)

    def forget(self, key_id: str) -> None:
        """Look a key up afresh; for the replica that just changed it."""
        self._cache.pop(key_id, None)

    async def _find(self, key_id: str) -> keys.StoredKey | None:
        now = time.monotonic()
        if (cached := self._cache.get(key_id)) and now - cached[0] < _FRESH_SECONDS:
            return cached[1]
        stored = await keys.find(self._database, key_id)
        self._cache[key_id] = (now, stored)
        self._cache.move_to_end(key_id)
        if len(self._cache) > _REMEMBERED:
            self._cache.popitem(last=False)
        return stored


def _opens(key: keys.StoredKey, secret: str, now: datetime) -> bool:
    """Whether the secret is one of the key's, and both are still accepted."""
    digest = secrets.digest(secret)
    known = [s for s in key.secrets if secrets.same(digest, s.sha256)]
    return key.live(now) and any(s.expires_at is None or s.expires_at > now for s in known)


def _caller(key: keys.StoredKey) -> Caller:
    grant = key.grant
    return Caller(
        name=grant.name,
        key_id=key.id,
        projects=frozenset(grant.projects),
        default_project=grant.default_project,
        rights=frozenset(grant.rights),
        user_id=grant.user_id,
        agent_id=grant.agent_id,
        app_id=grant.app_id,
        run_id=grant.run_id,
        expires_at=grant.expires_at,
        requests_per_minute=grant.requests_per_minute,
    )


def presented_key(request: Request) -> str | None:
    """The key a request brings, in whichever of the three places."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() in ("bearer", "token") and value.strip():
        return value.strip()
    return request.headers.get("x-api-key") or None
