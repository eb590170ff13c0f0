"""The flow of a search: query embedding beside the graph, one SQL statement, ranking."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

import numpy as np
import numpy.typing as npt

from memsys_api import retrieval, telemetry
from memsys_api.metrics import GRAPH_SEARCHES
from memsys_api.model import Memory, Scope
from memsys_api.ports import Embedder, GraphSink, SinkUnavailable
from memsys_api.sinks.breaker import Breaker
from memsys_api.store.database import Database
from memsys_api.store.generations import Generation
from memsys_api.store.rows import Condition
from memsys_api.store.search import Found, ScopeSize, candidates, known_people, measure

IndexMode = Literal["auto", "exact", "hnsw"]

_GRAPH_LIMIT = 50
_SIZE_SECONDS = 30.0
_SIZES = 20_000


class Searcher:
    """Answers queries. Remembers, for a while, how large scopes are."""

    def __init__(
        self,
        database: Database,
        generation: Generation,
        embedder: Embedder,
        graph: GraphSink | None,
        breaker: Breaker,
        *,
        vector_baseline: float,
        index: IndexMode,
        exact_rows: int,
        graph_timeout: float,
    ) -> None:
        self._database = database
        self._generation = generation
        self._embedder = embedder
        self._graph = graph
        self._breaker = breaker
        self._vector_baseline = vector_baseline
        self._index = index
        self._exact_rows = exact_rows
        self._graph_timeout = graph_timeout
        self._sizes: OrderedDict[Scope, tuple[float, ScopeSize]] = OrderedDict()

    async def search(
        self,
        scope: Scope,
        query: str,
        *,
        top_k: int,
        threshold: float | None = None,
        filters: Sequence[Condition] = (),
        as_of: datetime | None = None,
        now: datetime | None = None,
    ) -> list[tuple[retrieval.Ranked, Memory]]:
        """The memories of the scope that answer the query best, best first. Without the graph when it is away.

        ``now`` is what the query's "today" means; by default ``as_of``, or the present.
        """
        asked = retrieval.analyse(query, now=now or as_of or datetime.now(UTC))
        embedding, weights, size = await asyncio.gather(
            self._embed(scope, asked), self._neighbours(scope, asked.entities), self._size(scope)
        )
        found = await candidates(
            self._database,
            self._generation,
            scope,
            query=query,
            embedding=embedding,
            entity_keys=asked.entities,
            named=list(weights),
            size=size,
            reach=retrieval.REACH,
            approximate=self._approximate(size) and as_of is None,
            filters=filters,
            as_of=as_of,
        )
        pool = [_candidate(one, weights.get(one.id)) for one in found]
        ranked = retrieval.rank(asked, pool, top_k=top_k, threshold=threshold, vector_baseline=self._vector_baseline)
        by_id = {one.id: one for one in found}
        return [(r, by_id[r.candidate.id].memory) for r in ranked]

    async def _embed(self, scope: Scope, asked: retrieval.Query) -> npt.NDArray[np.float32]:
        """The query's vector: of the question without the people it is asked about, who are matched by name."""
        people = await known_people(self._database, scope.project, asked.entities) if asked.entities else []
        embeddings = await self._embedder.embed([asked.embedding_text(people)])
        return np.asarray(embeddings[0])

    def _approximate(self, size: ScopeSize) -> bool:
        return self._index == "hnsw" or (self._index == "auto" and size.rows > self._exact_rows)

    async def _size(self, scope: Scope) -> ScopeSize:
        now = time.monotonic()
        if (known := self._sizes.get(scope)) and now - known[0] < _SIZE_SECONDS:
            return known[1]
        size = await measure(self._database, scope, self._exact_rows + 1)
        self._sizes[scope] = (now, size)
        self._sizes.move_to_end(scope)
        if len(self._sizes) > _SIZES:
            self._sizes.popitem(last=False)
        return size

    async def _neighbours(self, scope: Scope, entities: Sequence[str]) -> dict[UUID, float]:
        """What the graph names around the query's entities; nothing, and counted as such, when it is away or slow."""
        if self._graph is None or not entities:
            return {}
        if not self._breaker.closed:
            GRAPH_SEARCHES.labels("skipped").inc()
            return {}
        try:
            async with asyncio.timeout(self._graph_timeout):
                with telemetry.span("graph neighbours", **{"memsys.entities": len(entities)}):
                    named = await self._graph.neighbours(scope, entities, _GRAPH_LIMIT)
        except (SinkUnavailable, TimeoutError):
            self._breaker.trip()
            GRAPH_SEARCHES.labels("failed").inc()
            return {}
        GRAPH_SEARCHES.labels("answered").inc()
        return dict(named)


def _candidate(found: Found, graph_score: float | None) -> retrieval.Candidate:
    cosine, coverage = found.scores
    thread, turn = found.turn
    return retrieval.Candidate(
        id=found.id,
        text=found.text,
        event_time=found.event_time,
        vector_score=cosine,
        text_score=coverage,
        graph_score=graph_score,
        run=thread,
        turn=turn,
        speaker=found.speaker,
        entity_keys=frozenset(found.entity_keys),
    )
