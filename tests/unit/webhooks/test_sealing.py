"""Signing secrets at rest."""

from __future__ import annotations

import pytest
from cryptography.fernet import Fernet

from memsys_api.sinks.webhooks.sealing import Sealer, Unsealable

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_the_first_key_seals_and_all_open() -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    before = Sealer([old]).seal(SECRET)
    after = Sealer([new, old]).seal(SECRET)
    assert SECRET not in before + after
    assert Sealer([new, old]).open(before) == Sealer([new]).open(after) == SECRET


def test_without_keys_nothing_is_sealed_and_what_was_so_before_is_still_read() -> None:
    assert Sealer([]).seal(SECRET) == SECRET
    assert Sealer([Fernet.generate_key().decode()]).open(SECRET) == SECRET


@pytest.mark.parametrize("keys", [[], [Fernet.generate_key().decode()]])
def test_a_lost_key_says_what_to_do(keys: list[str]) -> None:
    sealed = Sealer([Fernet.generate_key().decode()]).seal(SECRET)
    with pytest.raises(Unsealable, match="WEBHOOK_SECRET_KEYS"):
        Sealer(keys).open(sealed)
