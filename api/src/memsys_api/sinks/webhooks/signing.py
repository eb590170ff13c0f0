"""Signatures by the Standard Webhooks specification, symmetric scheme v1. Pure but for the random numbers.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets

PREFIX = "whsec_"
_BYTES = (24, 64)  # as the specification asks


class SecretError(ValueError):
    """Not a signing secret; the message says what one is."""


def generate() -> str:
    """A new signing secret of 256 random bits."""
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def key(secret: str) -> bytes:
    """The key that a secret stands for. Raises :class:`SecretError`."""
    try:
        raw = base64.b64decode(secret.removeprefix(PREFIX), validate=True) if secret.startswith(PREFIX) else b""
    except (binascii.Error, ValueError):
        raw = b""
    if not _BYTES[0] <= len(raw) <= _BYTES[1]:
        raise SecretError(f"must be {PREFIX} followed by {_BYTES[0]} to {_BYTES[1]} random bytes in base64")
    return raw


def headers(secret: str, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """What proves a message: its id (the same for each attempt), Unix seconds of this one, the signature of all."""
    signed = b".".join((message_id.encode(), str(timestamp).encode(), body))
    digest = hmac.new(key(secret), signed, hashlib.sha256).digest()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }
