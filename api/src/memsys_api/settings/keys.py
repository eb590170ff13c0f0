"""Keys as settings: what stands around them in a variable or a file is none of them."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, SecretStr

_SHORTEST_ADMIN_KEY = 16


def _stripped(value: SecretStr) -> SecretStr:
    # `echo` ends what it writes to a Secret with a line end, which no header carries and nobody presents.
    return SecretStr(value.get_secret_value().strip())


def _admin_key(value: SecretStr) -> SecretStr:
    key = value.get_secret_value()
    if len(key) < _SHORTEST_ADMIN_KEY:
        raise ValueError(f"is too short; give a random string of at least {_SHORTEST_ADMIN_KEY} characters")
    if not re.fullmatch(r"[!-~]+", key):
        raise ValueError("has characters that no header carries; give printable ASCII without blanks")
    return value


ProviderKey = Annotated[SecretStr, AfterValidator(_stripped)]
AdminKey = Annotated[ProviderKey, AfterValidator(_admin_key)]
