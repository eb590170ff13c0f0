"""Whether an error of a store's client says that the store is away, or speaks of what was sent. Pure."""

from __future__ import annotations

from memsys_api.causes import chain

# Beside all 5xx: what a proxy, a limit or a missing right answers has nothing to do with the points sent.
_LATER = frozenset({401, 402, 403, 404, 407, 408, 409, 425, 429})
_AWAY = frozenset(
    {
        "ResponseHandlingException",  # Qdrant: around whatever httpx raised
        "ResourceExhaustedResponse",  # Qdrant: 429
        "TransportError",  # httpx
        "PineconeConnectionError",
        "PineconeTimeoutError",
        "WeaviateConnectionError",
        "WeaviateTimeoutError",
        "WeaviateStartUpError",
        "WeaviateGRPCUnavailableError",
        "WeaviateClosedClientError",
        "AuthenticationFailedError",
        "InsufficientPermissionsError",
        "WeaviateRetryError",
        "WeaviateBatchSendError",
    }
)
_GRPC_AWAY = frozenset(
    {"UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "CANCELLED", "UNAUTHENTICATED", "PERMISSION_DENIED"}
)


def is_away(error: BaseException) -> bool:
    """Whether waiting, or mending the settings, would help, whatever the records are."""
    for beneath in chain(error):
        status = getattr(beneath, "status_code", None)
        if isinstance(status, int):
            return status >= 500 or status in _LATER
        if isinstance(beneath, OSError | TimeoutError) or _AWAY & {base.__name__ for base in type(beneath).__mro__}:
            return True
        code = getattr(beneath, "code", None)
        if callable(code) and getattr(code(), "name", None) in _GRPC_AWAY:
            return True
    return False
