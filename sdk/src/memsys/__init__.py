"""Python client and wire models for memsys."""

from memsys._version import __version__
from memsys.aio import AsyncClient
from memsys.breaker import CircuitBreaker
from memsys.client import Client
from memsys.delegation import Delegation
from memsys.errors import (
    CircuitOpen,
    Conflict,
    FieldError,
    Forbidden,
    Invalid,
    MemsysError,
    NotFound,
    ProblemError,
    RateLimited,
    ServerError,
    ServiceUnavailable,
    TooLarge,
    Unauthorized,
    Unavailable,
    UnexpectedAnswer,
    Unreachable,
)
from memsys.models import (
    Added,
    AddResults,
    Found,
    GraphStatus,
    HistoryEntry,
    Info,
    Key,
    Memory,
    NewKey,
    Page,
    SearchResults,
    SyncReport,
)
from memsys.retry import RetryPolicy

__all__ = [
    "AddResults",
    "Added",
    "AsyncClient",
    "CircuitBreaker",
    "CircuitOpen",
    "Client",
    "Conflict",
    "Delegation",
    "FieldError",
    "Forbidden",
    "Found",
    "GraphStatus",
    "HistoryEntry",
    "Info",
    "Invalid",
    "Key",
    "Memory",
    "MemsysError",
    "NewKey",
    "NotFound",
    "Page",
    "ProblemError",
    "RateLimited",
    "RetryPolicy",
    "SearchResults",
    "ServerError",
    "ServiceUnavailable",
    "SyncReport",
    "TooLarge",
    "Unauthorized",
    "Unavailable",
    "UnexpectedAnswer",
    "Unreachable",
    "__version__",
]
