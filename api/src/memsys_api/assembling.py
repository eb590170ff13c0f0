"""Puts the flows on top of the parts: what a request can use. Starts nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from memsys_api import embedding, erasing, inference, reranking
from memsys_api.access import token_review
from memsys_api.access.budgets import Budgets
from memsys_api.access.guard import Guard
from memsys_api.access.policies import Policies
from memsys_api.access.rates import RateLimits
from memsys_api.access.refusals import Refusals
from memsys_api.backfill.worker import Backfill
from memsys_api.flows.change_feed import Feed
from memsys_api.flows.changing import Changing
from memsys_api.flows.exploring import Explorer
from memsys_api.flows.feeding import Fed, Graph, Vectors, outbox_of
from memsys_api.flows.inferring import Inferring
from memsys_api.flows.judging import Judging
from memsys_api.flows.memories import Memories
from memsys_api.flows.search_way import Chooser
from memsys_api.flows.searching import Searcher
from memsys_api.flows.submitting import Submitting
from memsys_api.flows.vector_index import VectorIndex
from memsys_api.inference import Inferrer
from memsys_api.ports import Embedder, GraphSink, Sink, VectorSink
from memsys_api.quarantine.gate import Gate
from memsys_api.reranking import Reranking
from memsys_api.settings import Settings
from memsys_api.shaping.flow import Shaping
from memsys_api.shaping.worker import Shaper
from memsys_api.sinks import graph as graph_sink
from memsys_api.sinks import vectors as vector_sink
from memsys_api.sinks import webhooks as webhook_sink
from memsys_api.sinks.webhooks import Webhooks
from memsys_api.sinks.webhooks.names import Names
from memsys_api.sinks.webhooks.sender import Resolver
from memsys_api.store import generations
from memsys_api.store.database import Database
from memsys_api.store.outbox import Outbox
from memsys_api.transfer.exporting import Exporting
from memsys_api.transfer.importing import Importing


@dataclass(frozen=True)
class Service:
    """Everything a request can use; exists only when all of it does."""

    settings: Settings
    database: Database
    generation: generations.Generation
    embedder: Embedder
    guard: Guard
    policies: Policies
    gate: Gate
    rates: RateLimits
    memories: Memories
    submitting: Submitting
    changing: Changing
    exporting: Exporting
    importing: Importing
    searcher: Searcher
    explorer: Explorer
    judging: Judging
    shaping: Shaping
    shaper: Shaper | None
    graph: Graph | None
    vectors: Vectors | None
    backfill: Backfill | None
    webhooks: Webhooks | None
    feed: Feed
    outbox: Outbox
    eraser: erasing.Eraser

    @property
    def fed(self) -> list[Fed[Sink]]:
        """Every sink."""
        return [one for one in (self.graph, self.vectors) if one is not None]


@dataclass(frozen=True)
class Makers:
    """What makes the parts that reach outside, besides PostgreSQL."""

    embedder: Callable[[Settings], Awaitable[Embedder]] = embedding.create
    graph: Callable[[Settings], GraphSink | None] = graph_sink.create
    inferrer: Callable[[Settings], Awaitable[Inferrer | None]] = inference.create
    reranker: Callable[[Settings], Awaitable[Reranking | None]] = reranking.create
    resolver: Resolver = field(default_factory=Names)
    vectors: Callable[..., VectorSink | None] = vector_sink.create
    """Called with the settings and what :func:`memsys_api.sinks.vectors.create` takes beside them."""


def service(
    settings: Settings,
    *,
    resolver: Resolver,
    database: Database,
    generation: generations.Generation,
    embedder: Embedder,
    inferrer: Inferrer | None,
    reranker: Reranking | None,
    baseline: float,
    graph: Graph | None,
    vectors: Vectors | None,
) -> Service:
    """Put the flows on top of the parts that are there now. ``baseline`` is :func:`memsys_api.retrieval.baseline`'s."""
    assert settings.admin_key is not None  # held by Settings
    webhooks = webhook_sink.create(settings, database, resolver)
    feed = Feed(database, most=settings.changes_max_streams)
    fed: list[Fed[Sink]] = [one for one in (graph, vectors) if one is not None]
    outbox = outbox_of(fed, webhooks, feed)
    policies = Policies(database, settings)
    gate = Gate(database, policies)
    chooser = Chooser(database, index=settings.vector_index, exact_rows=settings.vector_exact_rows)
    inferring = backfill = shaper = budgets = None
    if inferrer is not None:
        budgets = Budgets(database, policies)
        inferring = Inferring(database, generation, embedder, inferrer, budgets, gate, chooser)
        shaper = Shaper(
            database,
            inferrer,
            budgets,
            timeout_seconds=settings.llm_timeout_seconds,
            retry_base=settings.llm_retry_base_seconds,
        )
        backfill = Backfill(
            database,
            inferrer,
            inferring,
            outbox,
            timeout_seconds=settings.llm_timeout_seconds,
            retry_base=settings.llm_retry_base_seconds,
            workers=max(2, settings.llm_concurrency // 2),  # adds that are waited for have the other half
        )
    return Service(
        settings=settings,
        database=database,
        generation=generation,
        embedder=embedder,
        guard=Guard(
            database,
            settings.admin_key.get_secret_value(),
            Refusals(settings.refusals_per_minute),
            token_review.create(settings),
        ),
        policies=policies,
        gate=gate,
        rates=RateLimits(database),
        submitting=Submitting(database, generation, embedder, outbox, backfill.wake if backfill else None, gate),
        memories=Memories(database, generation, embedder, outbox, gate, inferring),
        changing=Changing(database, generation, embedder, outbox, gate),
        exporting=Exporting(database),
        importing=Importing(database, generation, embedder, outbox, gate),
        explorer=Explorer(database),
        judging=Judging(database, gate),
        shaping=Shaping(database, gate, shaper.wake if shaper else None),
        shaper=shaper,
        searcher=Searcher(
            database,
            generation,
            embedder,
            graph,
            vector_baseline=baseline,
            chooser=chooser,
            graph_timeout=settings.graph_search_timeout_seconds,
            vectors=VectorIndex(vectors, timeout=settings.vector_search_timeout_seconds) if vectors else None,
            reranking=reranker,
            budgets=budgets,
        ),
        graph=graph,
        vectors=vectors,
        backfill=backfill,
        webhooks=webhooks,
        feed=feed,
        outbox=outbox,
        eraser=erasing.create(settings, database, generation, embedder, [one.sink for one in fed], outbox.wake),
    )
