"""The form of an API key: ``msk_<id>_<secret>``. Pure but for the system's random numbers."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import string
from typing import NamedTuple

_ALPHABET = string.ascii_letters + string.digits
_FORM = re.compile(r"msk_([0-9A-Za-z]{12})_([0-9A-Za-z]{32})")


class KeyParts(NamedTuple):
    """A key taken apart: the public id, and the secret of 190 random bits."""

    id: str
    secret: str


def generate() -> KeyParts:
    """A new key."""
    return KeyParts(*("".join(secrets.choice(_ALPHABET) for _ in range(length)) for length in (12, 32)))


def render(parts: KeyParts) -> str:
    """The key as its holder writes it."""
    return f"msk_{parts.id}_{parts.secret}"


def parse(key: str) -> KeyParts | None:
    """The parts of a key, or ``None`` if it has not the form of one."""
    match = _FORM.fullmatch(key)
    return KeyParts(*match.groups()) if match else None


def digest(secret: str) -> str:
    """What is stored of a secret. It has enough entropy that a plain hash cannot be reversed."""
    return hashlib.sha256(secret.encode()).hexdigest()


def same(left: str, right: str) -> bool:
    """Compare without telling by the time taken how much agrees."""
    return hmac.compare_digest(left.encode(), right.encode())
