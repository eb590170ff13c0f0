"""Tokens of Kubernetes ServiceAccounts, reviewed by the cluster's apiserver (authentication.k8s.io/v1 TokenReview)."""

from __future__ import annotations

import binascii
import hashlib
import logging
import re
import ssl
import time
from base64 import urlsafe_b64decode
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import orjson

from memsys_api.causes import cause
from memsys_api.settings import Settings

log = logging.getLogger(__name__)

FRESH_SECONDS = 10.0
"""A token that the apiserver refuses by now is refused here within this. (The apiserver itself looks after 10 s.)"""
_TIMEOUT_SECONDS = 5.0
_REMEMBERED = 10_000
_PART = r"[A-Za-z0-9_-]+"
_JWT = re.compile(rf"({_PART})\.({_PART})\.({_PART})")
_LONGEST = 16_384


class ReviewUnavailable(Exception):
    """The apiserver does not answer, or does not let this server ask."""


class ReviewForbidden(ReviewUnavailable):
    """This server lacks the right to ask, which an administrator has to give."""

    def __init__(self) -> None:
        super().__init__(
            "the API may not have tokens reviewed: its ServiceAccount lacks the right to create TokenReviews; name it "
            "in tokenReview.serviceAccounts of the operator's chart"
        )


def is_token(given: str) -> bool:
    """Whether a credential has the form of a JSON Web Token."""
    return len(given) <= _LONGEST and _JWT.fullmatch(given) is not None


def create(settings: Settings) -> TokenReviewer | None:
    """The reviewer of these settings; ``None``: tokens are not accepted."""
    if settings.service_accounts == "off":
        return None
    url = f"https://{settings.kubernetes_host}:{settings.kubernetes_port}"
    return TokenReviewer(url, settings.kubernetes_dir, settings.token_audience)


class TokenReviewer:
    """Asks the apiserver whose a token is."""

    def __init__(
        self,
        url: str,
        folder: Path,
        audience: str,
        clock: Callable[[], float] = time.monotonic,
        today: Callable[[], float] = time.time,
    ) -> None:
        self._url = f"{url}/apis/authentication.k8s.io/v1/tokenreviews"
        self._folder = folder
        self._audience = audience
        self._clock = clock
        self._today = today
        self._client: httpx.AsyncClient | None = None
        self._cache: OrderedDict[bytes, tuple[float, str | None]] = OrderedDict()

    async def subject(self, token: str) -> str | None:
        """``system:serviceaccount:<namespace>:<name>``, or ``None`` for a token that is not good (any more).

        An answer is remembered for :data:`FRESH_SECONDS`, and never past the token's own end.
        Raises :class:`ReviewUnavailable`.
        """
        digest = hashlib.sha256(token.encode()).digest()
        if (cached := self._cache.get(digest)) and self._clock() < cached[0]:
            return cached[1]
        asked_at = self._clock()
        subject = _subject(await self._ask(token), self._audience)
        lasts = FRESH_SECONDS if subject is None else min(FRESH_SECONDS, _expiry(token) - self._today())
        self._cache[digest] = (asked_at + lasts, subject)
        self._cache.move_to_end(digest)
        if len(self._cache) > _REMEMBERED:
            self._cache.popitem(last=False)
        return subject

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _ask(self, token: str) -> dict[str, Any]:
        review = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [self._audience]},
        }
        try:
            if self._client is None:
                trust = ssl.create_default_context(cafile=str(self._folder / "ca.crt"))
                self._client = httpx.AsyncClient(verify=trust, timeout=_TIMEOUT_SECONDS, trust_env=False)
            own = (self._folder / "token").read_text().strip()  # kubelet replaces it now and then
            answer = await self._client.post(self._url, json=review, headers={"Authorization": f"Bearer {own}"})
        except (httpx.HTTPError, OSError, ssl.SSLError) as error:
            await self.close()  # the next attempt reads the certificate authority again
            raise ReviewUnavailable(cause(error)) from error
        if answer.status_code == 403:
            raise ReviewForbidden
        if answer.status_code != 201:
            raise ReviewUnavailable(f"answered {answer.status_code} to a TokenReview")
        try:
            status: dict[str, Any] = orjson.loads(answer.content)["status"]
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise ReviewUnavailable("answered something that is no TokenReview") from error
        return status


def _subject(status: dict[str, Any], audience: str) -> str | None:
    """Whose the token is: only if it was made for this audience and is a ServiceAccount's."""
    name = str(status.get("user", {}).get("username", ""))
    good = status.get("authenticated") is True and audience in status.get("audiences", ())
    return name if good and name.startswith("system:serviceaccount:") else None


def _expiry(token: str) -> float:
    """When a token that the apiserver has found good ends, in seconds since 1970; one that does not say: never."""
    payload = token.split(".")[1]
    try:
        claims = orjson.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return float(claims.get("exp", "inf"))
    except (binascii.Error, orjson.JSONDecodeError, ValueError, AttributeError):
        return 0.0  # not one of the cluster's own form: asked again every time
