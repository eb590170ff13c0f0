"""Pinecone through mem0's class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from pinecone import Pinecone, RetryConfig

from memsys_api.sinks.vectors.points import Point, memory_of
from memsys_api.sinks.vectors.store import Connection, VectorStore
from memsys_api.vendors.mem0_import import vector_store_class

DELETE_IDS = 1000  # the most that one call may name
FETCH_IDS = 100  # they stand in the address


class PineconeStore(VectorStore):
    """A serverless index of Pinecone's; made in the cloud and region of the settings if there is none."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._client = Pinecone(
            connection.api_key,
            host=connection.url,
            timeout=connection.write_seconds,
            retry_config=RetryConfig(max_retries=0),  # attempts are the dispatcher's business
        )

    def present(self) -> bool:
        return bool(self._client.has_index(self._to.collection))

    def write(self, points: Sequence[Point]) -> Mapping[str, str]:
        self._mem0.insert([p.vector for p in points], [p.payload for p in points], [p.id for p in points])
        return {}

    def remove(self, ids: Sequence[str]) -> None:
        for start in range(0, len(ids), DELETE_IDS):  # mem0's delete takes one id a call
            self._mem0.index.delete(ids=list(ids[start : start + DELETE_IDS]))

    def nearest(self, vector: list[float], scope: Mapping[str, str], limit: int) -> list[UUID]:
        found = self._mem0.search("", vector, limit, dict(scope))
        return [memory_id for hit in found if (memory_id := memory_of(hit.payload))]

    def holding(self, ids: Sequence[str]) -> int:
        index, parts = self._mem0.index, range(0, len(ids), FETCH_IDS)
        return sum(len(index.fetch(ids=list(ids[start : start + FETCH_IDS])).vectors) for start in parts)

    def count(self) -> int:
        return self._mem0.index.describe_index_stats().total_vector_count or 0

    def close(self) -> None:
        if self._opened is not None:
            self._opened.index.close()
        self._client.close()

    def _open(self) -> Any:
        return vector_store_class("pinecone")(
            self._to.collection,
            self._to.dimensions,
            client=self._client,
            api_key=None,
            environment=None,
            serverless_config={"cloud": self._to.cloud, "region": self._to.region},
            pod_config=None,
            hybrid_search=False,
            metric="cosine",
            batch_size=100,
            extra_params=None,
            namespace="",  # the default one; mem0's own default, None, is no name that the client takes
        )

    def _check(self, opened: Any) -> None:
        index = opened.col_info()
        self._check_dimensions(index.dimension)
        if index.metric != "cosine":
            raise self._unfit(f"compares by {index.metric}, not by cosine")
