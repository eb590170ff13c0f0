"""External vector indexes as projections of PostgreSQL. The only room that imports their clients.

An index names candidates and nothing else: PostgreSQL looks at each of them again and gives it its score.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from pydantic import SecretStr

from memsys_api.sinks.vectors.sink import ExternalVectors, Truth
from memsys_api.sinks.vectors.store import Connection, VectorStore

__all__ = ["ExternalVectors", "create"]


class VectorStoreSettings(Protocol):
    """What :func:`create` reads of the API's settings."""

    @property
    def vector_store(self) -> str: ...
    @property
    def vector_store_url(self) -> str | None: ...
    @property
    def vector_store_grpc_url(self) -> str | None: ...
    @property
    def vector_store_api_key(self) -> SecretStr | None: ...
    @property
    def vector_store_collection(self) -> str: ...
    @property
    def vector_store_cloud(self) -> str: ...
    @property
    def vector_store_region(self) -> str: ...
    @property
    def vector_store_timeout_seconds(self) -> float: ...
    @property
    def vector_search_timeout_seconds(self) -> float: ...


def create(
    settings: VectorStoreSettings,
    *,
    generation: int,
    dimensions: int,
    truth: Truth,
    emptied: Callable[[str], Awaitable[None]],
) -> ExternalVectors | None:
    """Return the sink of the index that the settings name, not connected yet; ``None`` for ``VECTOR_STORE=pgvector``.

    Each generation of embeddings has a collection of its own. ``emptied`` is told the target whenever its collection
    had to be made, so that it is filled. Blocks for a second or two: the clients are large to import.
    """
    if settings.vector_store == "pgvector":
        return None
    key = settings.vector_store_api_key
    connection = Connection(
        store=settings.vector_store,
        url=settings.vector_store_url.rstrip("/") if settings.vector_store_url else None,
        grpc_url=settings.vector_store_grpc_url,
        api_key=key.get_secret_value() if key else None,
        collection=_collection(settings.vector_store, settings.vector_store_collection, generation),
        dimensions=dimensions,
        cloud=settings.vector_store_cloud,
        region=settings.vector_store_region,
        write_seconds=settings.vector_store_timeout_seconds,
        search_seconds=settings.vector_search_timeout_seconds,
    )
    return ExternalVectors(connection, _store(connection), truth, emptied)


def _collection(store: str, prefix: str, generation: int) -> str:
    """A name that the store takes as it is: Weaviate begins them with a capital, Pinecone knows no underscore."""
    return f"{prefix.capitalize()}{generation}" if store == "weaviate" else f"{prefix}-{generation}"


def _store(connection: Connection) -> VectorStore:
    if connection.store == "qdrant":
        from memsys_api.sinks.vectors.qdrant import QdrantStore

        return QdrantStore(connection)
    if connection.store == "weaviate":
        from memsys_api.sinks.vectors.weaviate import WeaviateStore

        return WeaviateStore(connection)
    from memsys_api.sinks.vectors.pinecone import PineconeStore

    return PineconeStore(connection)
