"""Turns a presented token into a :class:`Principal`, or says why not."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

from memsys_mcp.oauth import grants, tokens
from memsys_mcp.oauth.grants import Principal, ScopePattern
from memsys_mcp.oauth.keysets import IssuerKeys
from memsys_mcp.oauth.tokens import TokenRefused


class Verifier:
    """Knows its issuers by name; a token of any other is refused before anything is fetched."""

    def __init__(
        self,
        issuers: Mapping[str, IssuerKeys],
        *,
        algorithms: Collection[str],
        audiences: Collection[str] = (),
        pattern: ScopePattern,
        projects_claim: str | None = None,
        user_claim: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._issuers = issuers
        self._algorithms = frozenset(algorithms)
        self._audiences = frozenset(audiences)
        self._pattern = pattern
        self._projects_claim = projects_claim
        self._user_claim = user_claim
        self._clock = clock

    async def principal(self, token: str, resource: str) -> Principal:
        """Who holds a token for ``resource``, the address that is called, and what it grants.

        Raises :class:`TokenRefused`, and :class:`~memsys_mcp.oauth.keysets.IssuerAway` where it cannot be told.
        """
        claimed = tokens.peek(token, self._algorithms)
        keys = self._issuers.get(claimed.issuer)
        if keys is None:
            raise TokenRefused("its issuer is not one that this server accepts")
        key = await keys.find(claimed.key_id, claimed.algorithm)
        claims = tokens.verify(
            token,
            key,
            algorithm=claimed.algorithm,
            issuer=claimed.issuer,
            audiences={resource, *self._audiences},
            now=self._clock(),
        )
        subject = str(claims["sub"])
        name = subject if len(self._issuers) == 1 else f"{subject} at {urlsplit(claimed.issuer).netloc}"[:256]
        granted = grants.read(claims, self._pattern, self._projects_claim)
        return Principal(claimed.issuer, subject, name, granted, self._user(claims))

    def _user(self, claims: Mapping[str, Any]) -> str | None:
        if self._user_claim is None:
            return None
        user = claims.get(self._user_claim)
        if not isinstance(user, str) or not 0 < len(user) <= 256:  # without it the token would reach every user
            raise TokenRefused(f"it has no claim {self._user_claim!r}, which says whose memories it may reach")
        return user
