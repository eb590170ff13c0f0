"""Whether an error of a store's client says that the store is away, or speaks of what was sent. Pure."""

from __future__ import annotations

from collections.abc import Iterator

_DETAIL = 300
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
    for cause in _causes(error):
        status = getattr(cause, "status_code", None)
        if isinstance(status, int):
            return status >= 500 or status in _LATER
        if isinstance(cause, OSError | TimeoutError) or _AWAY & {base.__name__ for base in type(cause).__mro__}:
            return True
        code = getattr(cause, "code", None)
        if callable(code) and getattr(code(), "name", None) in _GRPC_AWAY:
            return True
    return False


def detail(error: BaseException, secret: str | None = None) -> str:
    """The error's text on one line, shortened, without the key."""
    text = " ".join(str(error).split()) or type(error).__name__
    if secret:
        text = text.replace(secret, "***")
    return text if len(text) <= _DETAIL else text[:_DETAIL] + "…"


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    for _ in range(5):
        if cause is None:
            return
        yield cause
        source = getattr(cause, "source", None)
        cause = source if isinstance(source, BaseException) else cause.__cause__ or cause.__context__
