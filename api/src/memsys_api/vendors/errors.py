"""What a vendor's library says went wrong, whoever wraps it: status, connection, credentials. Pure."""

from __future__ import annotations

from typing import Any

from memsys_api.causes import chain

LATER = frozenset({408, 409, 425, 429})
"""Statuses that pass by themselves, beside all 5xx."""

_TRANSPORT = frozenset(
    {  # base classes of httpx, OpenAI's client and those made like it, requests, botocore
        "TransportError",
        "TimeoutException",
        "APIConnectionError",
        "ConnectionError",
        "Timeout",
        "HTTPClientError",
    }
)
_CREDENTIALS = frozenset({"NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "TokenError"})


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status that the vendor answered, wherever its library keeps it."""
    for cause in chain(error):
        response = getattr(cause, "response", None)
        for status in (
            getattr(cause, "status_code", None),
            getattr(cause, "code", None),
            getattr(response, "status_code", None),
            _aws(response).get("ResponseMetadata", {}).get("HTTPStatusCode"),
        ):
            if isinstance(status, int) and 400 <= status <= 599:
                return status
    return None


def is_away(error: BaseException) -> bool:
    """Whether nobody answered, or not in time."""
    return any(isinstance(cause, TimeoutError | OSError) or _named(cause, _TRANSPORT) for cause in chain(error))


def lacks_credentials(error: BaseException) -> bool:
    """Whether the vendor was not even asked, because AWS's client found no credentials."""
    return any(_named(cause, _CREDENTIALS) for cause in chain(error))


def _named(error: BaseException, names: frozenset[str]) -> bool:
    return bool(names & {base.__name__ for base in type(error).__mro__})


def _aws(response: object) -> dict[str, Any]:
    return response if isinstance(response, dict) else {}
