"""Checks one access token (RFC 7519, RFC 9068) against a key. Pure but for the arithmetic of joserfc."""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64decode
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import Key

ALGORITHMS = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"}
)
"""Signatures with a public key. `none`, and MACs, which would take a public key for a secret, are never accepted."""

LEEWAY_SECONDS = 30
MAX_LENGTH = 16_384
MAX_SUBJECT = 200

_PART = re.compile(r"[A-Za-z0-9_-]*")
_TYPES = frozenset({"", "jwt", "at+jwt", "application/at+jwt"})


class TokenRefused(Exception):
    """The token is no good; the text says why and quotes nothing of it."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """What a token says of itself before anything is verified: good for finding the key, and for nothing else."""

    algorithm: str
    key_id: str | None
    issuer: str


def looks_like_token(credentials: str) -> bool:
    """Whether credentials have the form of a JWS or JWE rather than of an API key."""
    parts = credentials.split(".")
    if len(parts) not in (3, 5) or not all(_PART.fullmatch(part) for part in parts):
        return False
    try:
        return "alg" in _object(parts[0])
    except ValueError:
        return False


def peek(token: str, algorithms: Collection[str]) -> Claimed:
    """Read what is needed to find the key. Raises :class:`TokenRefused`."""
    parts = token.split(".")
    if len(token) > MAX_LENGTH or len(parts) != 3 or not all(part and _PART.fullmatch(part) for part in parts):
        raise TokenRefused("it is not a signed JWT")
    try:
        header, claims = _object(parts[0]), _object(parts[1])
    except ValueError:
        raise TokenRefused("it is not a signed JWT") from None
    algorithm, key_id, issuer = header.get("alg"), header.get("kid"), claims.get("iss")
    if not isinstance(algorithm, str) or algorithm not in algorithms:
        raise TokenRefused(f"its algorithm is not one of {', '.join(sorted(algorithms))}")
    if "crit" in header:
        raise TokenRefused("it has critical header parameters, of which this server knows none")
    if str(header.get("typ", "")).lower() not in _TYPES:
        raise TokenRefused("it is not an access token by its type")
    if not (key_id is None or isinstance(key_id, str)) or not isinstance(issuer, str):
        raise TokenRefused("it names no issuer, or no proper key")
    return Claimed(algorithm, key_id, issuer)


def verify(
    token: str, key: Key, *, algorithm: str, issuer: str, audiences: Collection[str], now: float
) -> Mapping[str, Any]:
    """The claims of a good token. ``now`` is in seconds since 1970. Raises :class:`TokenRefused`."""
    try:
        claims = json.loads(
            jws.deserialize_compact(token, key, [algorithm], jws.JWSRegistry(strict_check_header=False)).payload
        )
    except (JoseError, ValueError, TypeError, RecursionError):  # read deeper in the stack than by peek
        raise TokenRefused("its signature is wrong") from None
    if not isinstance(claims, dict) or claims.get("iss") != issuer:
        raise TokenRefused("it is of another issuer")
    expires, begins = _moment(claims, "exp"), _moment(claims, "nbf")
    if expires is None or expires <= now - LEEWAY_SECONDS:
        raise TokenRefused("it has expired" if expires is not None else "it does not say when it expires")
    if begins is not None and begins > now + LEEWAY_SECONDS:
        raise TokenRefused("it is not valid yet")
    audience = claims.get("aud")
    if not set(audience if isinstance(audience, list) else [audience]) & set(audiences):
        raise TokenRefused("it was issued for another resource")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= MAX_SUBJECT or not subject.isprintable():
        raise TokenRefused("it names no subject")
    if "cnf" in claims:  # RFC 7800: good only with proof of possession of a key
        raise TokenRefused("it is bound to a key of its holder, which a bearer does not prove")
    return claims


def _object(part: str) -> dict[str, Any]:
    try:
        found = json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except RecursionError:  # a few kilobytes of brackets are enough
        raise ValueError("nested too deeply") from None
    if not isinstance(found, dict):
        raise ValueError("not an object")
    return found


def _moment(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TokenRefused(f"its {name} is not a number")
    return float(value)
