"""How signing secrets are kept: sealed where there is a key for that, else as they are, behind the wall."""

from __future__ import annotations

from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

_SEALED = "fernet:"


class Unsealable(Exception):
    """A secret was sealed with a key that is not among the settings' any more."""


class Sealer:
    """Seals with the first of the keys and opens with any of them; without keys, leaves things as they are."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._fernet = MultiFernet([Fernet(key) for key in keys]) if keys else None

    def seal(self, secret: str) -> str:
        """As it is to be stored."""
        return secret if self._fernet is None else _SEALED + self._fernet.encrypt(secret.encode()).decode()

    def open(self, stored: str) -> str:
        """As it was. Raises :class:`Unsealable`."""
        if not stored.startswith(_SEALED):
            return stored
        try:
            if self._fernet is None:
                raise InvalidToken
            return self._fernet.decrypt(stored.removeprefix(_SEALED)).decode()
        except InvalidToken:
            raise Unsealable(
                "the signing secret was sealed with a key that WEBHOOK_SECRET_KEYS does not hold; "
                "give that key again, or give the webhook a new secret"
            ) from None
