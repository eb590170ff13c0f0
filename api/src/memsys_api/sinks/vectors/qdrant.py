"""Qdrant through mem0's class."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from qdrant_client import QdrantClient, models

from memsys_api.sinks.vectors.points import SCOPE_FIELDS, Point, memory_of
from memsys_api.sinks.vectors.store import Connection, VectorStore
from memsys_api.vendors.mem0_import import vector_store_class


class QdrantStore(VectorStore):
    """A collection of Qdrant's. Filters on the scope are indexed; the project's index is its tenant index."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        with warnings.catch_warnings():  # of a key over plain HTTP, which within a cluster is no news
            warnings.simplefilter("ignore", UserWarning)
            self._client = _client(connection)

    def present(self) -> bool:
        return bool(self._client.collection_exists(self._to.collection))

    def write(self, points: Sequence[Point]) -> Mapping[str, str]:
        self._mem0.insert([p.vector for p in points], [p.payload for p in points], [p.id for p in points])
        return {}

    def remove(self, ids: Sequence[str]) -> None:
        # mem0's delete takes one id a call
        self._client.delete(self._to.collection, points_selector=models.PointIdsList(points=list(ids)))

    def nearest(self, vector: list[float], scope: Mapping[str, str], limit: int) -> list[UUID]:
        # spelt out, because mem0 takes the plain value "*" for any
        found = self._mem0.search("", vector, limit, {name: {"eq": value} for name, value in scope.items()})
        return [memory_id for hit in found if (memory_id := memory_of(hit.payload))]

    def holding(self, ids: Sequence[str]) -> int:
        return len(self._client.retrieve(self._to.collection, list(ids), with_payload=False))

    def count(self) -> int:
        return self._client.count(self._to.collection, exact=False).count

    def close(self) -> None:
        self._client.close()

    def _open(self) -> Any:
        store = vector_store_class("qdrant")(self._to.collection, self._to.dimensions, client=self._client)
        for name in SCOPE_FIELDS:  # mem0 indexes none of the project and the app
            schema = models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=name == "project")
            self._client.create_payload_index(self._to.collection, name, field_schema=schema)
        return store

    def _check(self, opened: Any) -> None:
        vectors = opened.col_info().config.params.vectors
        self._check_dimensions(getattr(vectors, "size", None))
        if vectors.distance != models.Distance.COSINE:
            raise self._unfit(f"compares by {vectors.distance}, not by cosine")


def _client(connection: Connection) -> QdrantClient:
    url = urlsplit(connection.url or "")
    return QdrantClient(
        host=url.hostname,
        port=url.port or (443 if url.scheme == "https" else 6333),
        https=url.scheme == "https",
        prefix=url.path.strip("/") or None,
        api_key=connection.api_key,
        timeout=ceil(connection.write_seconds),
        check_compatibility=False,  # a request from the constructor
    )
