"""The public keys of one issuer: found, fetched, kept, and fetched again when it signs with a new one."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import httpx2
from joserfc import jwk
from joserfc.errors import JoseError

from memsys_mcp import guard
from memsys_mcp.oauth.tokens import TokenRefused

FRESH_SECONDS = 600.0
STALE_SECONDS = 3600.0
"""How long keys are still believed where their issuer cannot be reached."""
REFRESH_SECONDS = 30.0
"""The least time between two fetches, whatever the tokens say: an unknown key id is free to invent."""
FETCH_SECONDS = 3.0
MAX_BYTES = 262_144

Fetch = Callable[[str], Awaitable[bytes]]
logger = logging.getLogger(__name__)


class IssuerAway(Exception):
    """The issuer's keys cannot be had, so nothing can be said of its tokens."""


class IssuerKeys:
    """Keys by id and algorithm. All who wait for a fetch share one."""

    def __init__(
        self, issuer: str, jwks_url: str | None, fetch: Fetch | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._issuer = issuer
        self._jwks_url = jwks_url
        self._fetch = fetch or fetch_document
        self._clock = clock
        self._lock = asyncio.Lock()
        self._keys: list[jwk.Key] = []
        self._loaded_at = self._tried_at = -float("inf")

    async def find(self, key_id: str | None, algorithm: str) -> jwk.Key:
        """The key of a token. Raises :class:`TokenRefused` where there is none, :class:`IssuerAway`."""
        if (found := self._known(key_id, algorithm, FRESH_SECONDS)) is not None:
            return found
        async with self._lock:
            if self._clock() - self._tried_at >= REFRESH_SECONDS:
                await self._refresh()
        if (found := self._known(key_id, algorithm, STALE_SECONDS)) is not None:
            return found
        if self._clock() - self._loaded_at > STALE_SECONDS:
            raise IssuerAway(f"the keys of {self._issuer} cannot be fetched")
        raise TokenRefused("its issuer publishes no such key")

    def _known(self, key_id: str | None, algorithm: str, seconds: float) -> jwk.Key | None:
        if self._clock() - self._loaded_at > seconds:
            return None
        fitting = [key for key in self._keys if _fits(key, key_id, algorithm)]
        return fitting[0] if len(fitting) == 1 or (fitting and key_id is not None) else None

    async def _refresh(self) -> None:
        self._tried_at = self._clock()
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                url = self._jwks_url or await self._discover()
                self._keys = _read(await self._fetch(url))
        except (httpx2.HTTPError, OSError, TimeoutError, ValueError) as error:
            logger.warning(
                "the keys of an issuer cannot be fetched", extra={"issuer": self._issuer, "why": _why(error)}
            )
            return
        self._loaded_at = self._clock()

    async def _discover(self) -> str:
        """Where the issuer keeps its keys: RFC 8414, then OpenID Connect Discovery, as MCP orders them."""
        for url in metadata_urls(self._issuer):
            try:
                document = json.loads(await self._fetch(url))
            except (httpx2.HTTPStatusError, ValueError):
                continue
            found = document if isinstance(document, dict) else {}
            jwks_url = found.get("jwks_uri")
            if found.get("issuer") == self._issuer and isinstance(jwks_url, str) and is_trustworthy(jwks_url):
                return jwks_url
        raise ValueError("no metadata document names the issuer and its keys")


def metadata_urls(issuer: str) -> list[str]:
    """The addresses of an issuer's metadata, in the order of the MCP specification."""
    parts = urlsplit(issuer)
    base, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    inserted = [f"{base}/.well-known/{kind}{path}" for kind in ("oauth-authorization-server", "openid-configuration")]
    return [*inserted, f"{base}{path}/.well-known/openid-configuration"] if path else inserted


def is_trustworthy(url: str) -> bool:
    """Whether what is read there cannot be changed on the way: https, or http inside the machine or cluster."""
    parts = urlsplit(url)
    name = parts.hostname or ""
    inside = guard.is_loopback(name) or name.endswith(guard.CLUSTER_SUFFIXES)
    return bool(name) and (parts.scheme == "https" or (parts.scheme == "http" and inside))


async def fetch_document(url: str) -> bytes:
    """A small document. Follows no redirect. Raises :class:`httpx2.HTTPError`, :class:`ValueError`."""
    async with (
        httpx2.AsyncClient(timeout=FETCH_SECONDS, follow_redirects=False) as client,
        client.stream("GET", url, headers={"Accept": "application/json"}) as response,
    ):
        response.raise_for_status()
        content = b""
        async for chunk in response.aiter_bytes():
            content += chunk
            if len(content) > MAX_BYTES:
                raise ValueError(f"longer than {MAX_BYTES} bytes")
        return content


def _read(document: bytes) -> list[jwk.Key]:
    """The public signing keys of a set. One that is not understood is left out (RFC 7517, section 5)."""
    found = json.loads(document)
    entries: list[Any] = found.get("keys", []) if isinstance(found, dict) else []
    keys: list[jwk.Key] = []
    for entry in entries:
        if not isinstance(entry, dict) or entry.get("kty") == "oct" or entry.get("use", "sig") != "sig":
            continue
        try:
            keys.append(jwk.import_key(entry))
        except (JoseError, ValueError, TypeError, KeyError):
            logger.info("a key of an issuer is not understood", extra={"kty": str(entry.get("kty"))[:20]})
    if not keys:
        raise ValueError("no usable key in the set")
    return keys


def _fits(key: jwk.Key, key_id: str | None, algorithm: str) -> bool:
    kind = {"R": "RSA", "P": "RSA", "E": "EC"}[algorithm[0]] if algorithm[:2] != "Ed" else "OKP"
    return key.key_type == kind and key.get("alg") in (None, algorithm) and (key_id is None or key.get("kid") == key_id)


def _why(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:200]
