"""Weaviate through mem0's class, mended where that reaches the wrong server, filters wrongly or hides errors.

mem0 2.2.1 opens the connection itself: to the default port wherever "localhost" is in the address, to Weaviate's cloud
wherever there is a key, without a key to any other. It filters by user, agent and run alone, in fields that Weaviate
splits into words, ranks by a fused score, and drops what a batch could not insert.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from weaviate import WeaviateClient
from weaviate.classes.config import Configure, DataType, Property, Tokenization, VectorDistances
from weaviate.classes.data import DataObject
from weaviate.classes.init import AdditionalConfig, Auth, Timeout
from weaviate.classes.query import Filter
from weaviate.connect import ConnectionParams

from memsys_api.sinks.vectors.points import FIELDS, SCOPE_FIELDS, Point, memory_of
from memsys_api.sinks.vectors.store import Connection, VectorStore
from memsys_api.vendors.mem0_import import vector_store_class

GRPC_PORT = 50051


class WeaviateStore(VectorStore):
    """A collection of Weaviate's."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        http = urlsplit(connection.url or "")
        grpc = urlsplit(connection.grpc_url or f"{http.scheme}://{http.hostname}:{GRPC_PORT}")
        seconds = connection.write_seconds
        self._client = WeaviateClient(
            ConnectionParams.from_params(
                http_host=http.hostname or "",
                http_port=http.port or _default_port(http.scheme),
                http_secure=http.scheme == "https",
                grpc_host=grpc.hostname or "",
                grpc_port=grpc.port or _default_port(grpc.scheme),
                grpc_secure=grpc.scheme == "https",
            ),
            auth_client_secret=Auth.api_key(connection.api_key) if connection.api_key else None,
            additional_config=AdditionalConfig(
                timeout=Timeout(init=seconds, query=connection.search_seconds, insert=seconds)
            ),
            skip_init_checks=True,  # they ask the package index whether there is a newer client
        )

    def present(self) -> bool:
        if not self._client.is_connected():
            self._client.connect()
        return bool(self._client.collections.exists(self._to.collection))

    def write(self, points: Sequence[Point]) -> Mapping[str, str]:
        objects = [DataObject(properties=dict(p.payload), uuid=p.id, vector=p.vector) for p in points]
        result = self._collection.data.insert_many(objects)
        return {
            points[place].id: "Weaviate refuses it" + (f" (code {error.code})" if error.code else "")
            for place, error in result.errors.items()
        }

    def remove(self, ids: Sequence[str]) -> None:
        self._collection.data.delete_many(where=Filter.by_id().contains_any(list(ids)))

    def nearest(self, vector: list[float], scope: Mapping[str, str], limit: int) -> list[UUID]:
        found = self._collection.query.near_vector(
            vector,
            limit=limit,
            filters=Filter.all_of([Filter.by_property(name).equal(value) for name, value in scope.items()]),
            return_properties=["memory_id"],
        )
        return [memory_id for hit in found.objects if (memory_id := memory_of(hit.properties))]

    def holding(self, ids: Sequence[str]) -> int:
        found = self._collection.query.fetch_objects(
            filters=Filter.by_id().contains_any(list(ids)), limit=len(ids), return_properties=False
        )
        return len(found.objects)

    def count(self) -> int:
        return self._collection.aggregate.over_all(total_count=True).total_count or 0

    def close(self) -> None:
        self._client.close()

    @property
    def _collection(self) -> Any:
        store = self._mem0
        return store.client.collections.get(store.collection_name)

    def _open(self) -> Any:
        mem0_class = vector_store_class("weaviate")
        store = mem0_class.__new__(mem0_class)  # its __init__ opens a connection of its own
        store.client, store.collection_name = self._client, self._to.collection
        store.embedding_model_dims = self._to.dimensions
        if not self._client.collections.exists(self._to.collection):
            self._client.collections.create(
                self._to.collection,
                properties=[
                    Property(
                        name=name,
                        data_type=DataType.INT if name == "version" else DataType.TEXT,
                        tokenization=None if name == "version" else Tokenization.FIELD,  # equal means equal
                        index_filterable=name in SCOPE_FIELDS,
                        index_searchable=None if name == "version" else False,
                    )
                    for name in FIELDS
                ],
                vector_config=Configure.Vectors.self_provided(
                    vector_index_config=Configure.VectorIndex.hnsw(distance_metric=VectorDistances.COSINE)
                ),
            )
        return store

    def _check(self, opened: Any) -> None:
        # by no way of mem0's: it takes an empty collection for none
        properties = {p.name: p for p in opened.client.collections.get(opened.collection_name).config.get().properties}
        wrong = [n for n in SCOPE_FIELDS if n not in properties or properties[n].tokenization != Tokenization.FIELD]
        if wrong:
            raise self._unfit(f"does not hold {', '.join(wrong)} as whole values")


def _default_port(scheme: str) -> int:
    return 443 if scheme == "https" else 80
