"""The flow of a search: query embedding beside the graph, one SQL statement, ranking, and perhaps a reranker."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

import numpy as np
import numpy.typing as npt

from memsys_api import retrieval, telemetry
from memsys_api.access.budgets import Budgets, OverBudget
from memsys_api.flows.feeding import Graph
from memsys_api.flows.search_way import Chooser
from memsys_api.flows.vector_index import VectorIndex
from memsys_api.metrics import GRAPH_SEARCHES
from memsys_api.model import Memory, Scope
from memsys_api.normal_forms import composed
from memsys_api.ports import Embedder, SinkUnavailable
from memsys_api.recent import Recent
from memsys_api.reranking.flow import Outcome, Reranking
from memsys_api.store import merges, past
from memsys_api.store.database import Database
from memsys_api.store.generations import Generation
from memsys_api.store.rows import Condition
from memsys_api.store.search import Found, ask_memories, candidates, people, read_memories

log = logging.getLogger(__name__)

_GRAPH_LIMIT = 50
_FRESH_SECONDS = 30.0
_REMEMBERED = 20_000
_PROJECTS = 1_000
_PEOPLE = 1_000
_MERGES = 5_000
_MERGES_FRESH_SECONDS = 2.0  # a merge shows in searches as soon as its memories are in the graph, or nearly
_MOST_ALIASES = 48


RERANK = "rerank"
"""The name of the reranker's score among the parts of a score."""

Hit = tuple[retrieval.Ranked, Memory]


@dataclass(frozen=True, slots=True)
class Answer:
    """The memories that answer, best first, and what the reranker did, if it was to do anything."""

    hits: list[Hit]
    reranking: Outcome | None = None


class Searcher:
    """Answers queries. Remembers, for a while, who is who."""

    def __init__(
        self,
        database: Database,
        generation: Generation,
        embedder: Embedder,
        graph: Graph | None,
        *,
        vector_baseline: float,
        chooser: Chooser,
        graph_timeout: float,
        vectors: VectorIndex | None = None,
        reranking: Reranking | None = None,
        budgets: Budgets | None = None,
    ) -> None:
        """``budgets`` are of the language model, where there is one."""
        self._database = database
        self._generation = generation
        self._embedder = embedder
        self._graph = graph
        self._vector_baseline = vector_baseline
        self._chooser = chooser
        self._graph_timeout = graph_timeout
        self._vectors = vectors
        self._reranking = reranking
        self._budgets = budgets
        self._people = Recent(partial(people, database, bound=_PEOPLE), seconds=_FRESH_SECONDS, size=_REMEMBERED)
        self._merges = Recent(
            partial(merges.standing, database, bound=_MERGES), seconds=_MERGES_FRESH_SECONDS, size=_PROJECTS
        )

    @property
    def reranks(self) -> bool:
        """Whether there is a reranker."""
        return self._reranking is not None

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
        rerank: bool = True,
    ) -> Answer:
        """The memories of the scope that answer the query best, best first. Without the graph when it is away.

        ``now`` is what the query's "today" means; by default ``as_of``, or the present. ``rerank`` is whether the
        reranker orders the best, where there is one.
        """
        reranking = self._reranking if rerank else None
        wanted = max(top_k, reranking.top_n) if reranking else top_k
        asked = await self._following_merges(scope, retrieval.analyse(query, now=now or as_of or datetime.now(UTC)))
        embedding, weights, chosen = await asyncio.gather(
            self._embed(scope, asked),
            self._neighbours(scope, (*asked.entities, *asked.aliases)),
            self._chooser.choose(scope, filters, past=as_of is not None),
        )
        # What held at a moment, and metadata, are PostgreSQL's to search by: no index knows them.
        near = await self._vectors.near(scope, embedding) if self._vectors and not filters and as_of is None else None
        async with past.reading(self._database, scope.project, as_of) as conn:
            found = await candidates(
                conn,
                self._generation,
                scope,
                query=query,
                embedding=embedding,
                named=list(weights),
                size=chosen.size,
                reach=retrieval.REACH,
                way=chosen.way,
                wanted=wanted,
                filters=filters,
                as_of=as_of,
                near=near,
            )
            ranked = retrieval.rank(
                asked,
                [_candidate(one, weights) for one in found],
                top_k=wanted,
                threshold=threshold,
                vector_baseline=self._vector_baseline,
            )
            reading = await ask_memories(conn, scope, [r.candidate.id for r in ranked], filters=filters, as_of=as_of)
        best = await read_memories(reading)
        hits = [(r, best[r.candidate.id]) for r in ranked if r.candidate.id in best]
        if reranking is None:
            return Answer(hits)
        answer = await self._reranked(reranking, scope.project, asked.text, hits)
        return replace(answer, hits=answer.hits[:top_k])

    async def _following_merges(self, scope: Scope, asked: retrieval.Query) -> retrieval.Query:
        """The query with the other names of what it names: memories know their speakers by any of them."""
        if not asked.entities:
            return asked
        names = await self._merges.get(scope.project)
        others = dict.fromkeys(name for key in asked.entities for name in names.get(key, ()))
        return replace(asked, aliases=tuple(name for name in others if name not in asked.entities)[:_MOST_ALIASES])

    async def _embed(self, scope: Scope, asked: retrieval.Query) -> npt.NDArray[np.float32]:
        """The query's vector: of the question without the people it is asked about, who are matched by name."""
        known = await self._people.get(scope.project) if asked.entities else frozenset()
        embeddings = await self._embedder.embed([asked.embedding_text(known.intersection(asked.entities))])
        return np.asarray(embeddings[0])

    async def _neighbours(self, scope: Scope, entities: Sequence[str]) -> dict[UUID, float]:
        """What the graph names around the query's entities; nothing, and counted as such, when it is away or slow."""
        if self._graph is None or not entities:
            return {}
        if not self._graph.breaker.closed:
            GRAPH_SEARCHES.labels("skipped").inc()
            return {}
        try:
            async with asyncio.timeout(self._graph_timeout):
                with telemetry.span("graph neighbours", **{"memsys.entities": len(entities)}):
                    named = await self._graph.sink.neighbours(scope, entities, _GRAPH_LIMIT)
        except (SinkUnavailable, TimeoutError):
            self._graph.breaker.trip()
            GRAPH_SEARCHES.labels("failed").inc()
            return {}
        except Exception:  # whatever it is, PostgreSQL answers
            log.exception("the graph cannot be searched")
            GRAPH_SEARCHES.labels("failed").inc()
            return {}
        GRAPH_SEARCHES.labels("answered").inc()
        return dict(named)

    async def _reranked(self, reranking: Reranking, project: str, query: str, hits: list[Hit]) -> Answer:
        """The best in the reranker's order, the others after them; all as they were when it does not answer.

        No connection is held meanwhile.
        """
        best, others = hits[: reranking.top_n], hits[reranking.top_n :]
        if len(best) < 2:
            return Answer(hits)
        outcome = await self._scores(reranking, project, query, [composed(memory.text) for _, memory in best])
        if outcome.outcome != "answered":
            return Answer(hits, outcome)
        scored = [
            (replace(ranked, parts={**ranked.parts, RERANK: score}), memory)
            for (ranked, memory), score in zip(best, outcome.scores, strict=True)
        ]
        scored.sort(key=lambda hit: -hit[0].parts[RERANK])  # stable: equal ones stay as they were ranked
        return Answer(scored + others, outcome)

    async def _scores(self, reranking: Reranking, project: str, query: str, texts: Sequence[str]) -> Outcome:
        """What the reranker says of the texts; a language model is asked, and counted, within the project's budget."""
        if self._budgets is None or not reranking.by_language_model:
            return await reranking.scores(query, texts)
        try:
            await self._budgets.check(project)
        except OverBudget as error:
            return reranking.skipped(str(error))
        async with self._budgets.counting(project) as spent:
            return await reranking.scores(query, texts, spent)


def _candidate(found: Found, weights: dict[UUID, float]) -> retrieval.Candidate:
    # By position: there are hundreds in a search, and names cost as much again.
    graph_score = weights.get(found.id) if weights else None
    return retrieval.Candidate(
        found.id,
        found.event_time,
        found.cosine,
        found.coverage,
        graph_score,
        found.thread,
        found.turn,
        found.speaker,
        found.asks,
        found.same,
    )
