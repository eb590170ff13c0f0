"""Recognises callers by their keys."""

from __future__ import annotations

import hashlib
import logging
import math
import time
from collections import OrderedDict
from datetime import UTC, datetime

from starlette.requests import Request

from memsys_api.access import secrets, token_review
from memsys_api.access.grants import DEFAULT_PROJECT, Caller
from memsys_api.access.narrowing import HEADER, narrowed
from memsys_api.access.refusals import Refusals
from memsys_api.access.token_review import ReviewForbidden, ReviewUnavailable, TokenReviewer
from memsys_api.causes import in_one_line
from memsys_api.problems import FORBIDDEN, RATE_LIMITED, UNAUTHENTICATED, UNAVAILABLE, ProblemError
from memsys_api.recent import Recent
from memsys_api.store import keys
from memsys_api.store.database import Database

log = logging.getLogger(__name__)

ADMIN = "admin"
"""The id under which the admin key of the settings acts."""
_FRESH_SECONDS = 1.0  # a revoked key is refused by every replica within this
_REMEMBERED = 10_000
_ALL_RIGHTS = frozenset({"read", "write", "admin"})


class Guard:
    """Turns the key of a request into a :class:`Caller`."""

    def __init__(
        self, database: Database, admin_key: str, refusals: Refusals, reviewer: TokenReviewer | None = None
    ) -> None:
        self._database = database
        self._admin_key = admin_key
        self._admin = Caller(ADMIN, ADMIN, None, DEFAULT_PROJECT, _ALL_RIGHTS)
        self._refusals = refusals
        self._reviewer = reviewer
        self._welcome: OrderedDict[bytes, None] = OrderedDict()
        self._recent = Recent(self._find, seconds=_FRESH_SECONDS, size=_REMEMBERED)

    async def caller(self, request: Request) -> Caller:
        """Who asks, and no further than a signed scope allows.

        Raises an ``unauthenticated`` problem, the same for every kind of wrong key; for a scope see ``narrowing``.
        """
        given = presented_key(request)
        if given is None:
            raise ProblemError(
                UNAUTHENTICATED, "give an API key: Authorization: Bearer <key>, Authorization: Token <key> or X-API-Key"
            )
        caller = await self._admitted(given, request.client.host if request.client else "")
        return narrowed(caller, request.headers.getlist(HEADER), given, time.time())

    async def close(self) -> None:
        if self._reviewer is not None:
            await self._reviewer.close()

    async def _admitted(self, given: str, address: str) -> Caller:
        """The caller of a key. An address that has tried too many wrong ones waits, but with keys known to be right."""
        digest = hashlib.sha256(given.encode()).digest()
        if digest not in self._welcome and (wait := self._refusals.wait(address)):
            raise ProblemError(RATE_LIMITED, "too many wrong keys from this address; wait", retry_after=math.ceil(wait))
        try:
            caller = await self._known(given)
        except ProblemError as error:
            if error.kind is UNAUTHENTICATED:
                self._refusals.count(address)
                self._welcome.pop(digest, None)
            raise
        self._welcome[digest] = None
        self._welcome.move_to_end(digest)
        if len(self._welcome) > _REMEMBERED:
            self._welcome.popitem(last=False)
        return caller

    async def _known(self, given: str) -> Caller:
        """The caller of a key, as the key grants."""
        if secrets.same(given, self._admin_key):
            return self._admin
        if self._reviewer is not None and token_review.is_token(given):
            return await self._service_account(self._reviewer, given)
        parts = secrets.parse(given)
        stored = await self._recent.get(parts.id) if parts else None
        if parts is None or stored is None or not _opens(stored, parts.secret, datetime.now(UTC)):
            raise ProblemError(UNAUTHENTICATED, "the API key is not valid")
        return _caller(stored)

    async def _service_account(self, reviewer: TokenReviewer, token: str) -> Caller:
        """The caller of a ServiceAccount's token: good at the cluster, and the subject of a key."""
        try:
            subject = await reviewer.subject(token)
        except ReviewUnavailable as error:
            log.error("tokens cannot be reviewed", extra={"reason": in_one_line(error)})
            if isinstance(error, ReviewForbidden):
                raise ProblemError(UNAVAILABLE, str(error), retry_after=60) from error
            raise ProblemError(
                UNAVAILABLE, "the cluster's apiserver cannot review the token now; try again", retry_after=1
            ) from error
        if subject is None:
            raise ProblemError(UNAUTHENTICATED, "the API key is not valid")
        stored = await self._recent.get(subject)
        if stored is None or not stored.live(datetime.now(UTC)):
            raise ProblemError(FORBIDDEN, f"no key is declared for {subject}; declare one with it as the subject")
        return _caller(stored)

    def forget(self, *names: str | None) -> None:
        """Look keys up afresh, by id or subject; for the replica that just changed them."""
        for name in names:
            if name is not None:
                self._recent.forget(name)

    async def _find(self, name: str) -> keys.StoredKey | None:
        """A key by its id, or by its subject, which has colons in it."""
        look_up = keys.find_subject if ":" in name else keys.find
        return await look_up(self._database, name)


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
