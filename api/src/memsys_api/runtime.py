"""Puts the running API together, and waits for what it needs, saying for what."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from urllib.parse import unquote, urlsplit

from memsys_api import embedding, erasing, inference, metrics, retrieval
from memsys_api.access import token_review
from memsys_api.access.budgets import Budgets
from memsys_api.access.guard import Guard
from memsys_api.access.policies import Policies
from memsys_api.access.rates import RateLimits
from memsys_api.access.refusals import Refusals
from memsys_api.backfill.worker import Backfill
from memsys_api.changes.feed import Feed
from memsys_api.changing import Changing
from memsys_api.exploring import Explorer
from memsys_api.feeding import Fed, Graph, Vectors, feed_graph, feed_vectors, names_and_wake
from memsys_api.inference import InferenceRejected, Inferrer
from memsys_api.inferring import Inferring
from memsys_api.measured import MeasuredEmbedder, MeasuredInferrer
from memsys_api.memories import Memories
from memsys_api.ports import Embedder, EmbedderError, EmbedderUnavailable, GraphSink, Sink, VectorSink
from memsys_api.quarantine.gate import Gate
from memsys_api.searching import Searcher
from memsys_api.settings import Settings
from memsys_api.sinks import graph as graph_sink
from memsys_api.sinks import vectors as vector_sink
from memsys_api.sinks import webhooks as webhook_sink
from memsys_api.sinks.webhooks import Webhooks
from memsys_api.sinks.webhooks.sender import Resolver, resolve
from memsys_api.store import audit, generations, migrate, retention, vector_index
from memsys_api.store.database import Database, DatabaseUnavailable, StatementTimeout
from memsys_api.submitting import Submitting
from memsys_api.transfer.exporting import Exporting
from memsys_api.transfer.importing import Importing
from memsys_api.vector_index import VectorIndex

log = logging.getLogger(__name__)

_RETRY_SECONDS = 1.0
_STUCK_SECONDS = 10.0
_CANCEL_AGAIN_SECONDS = 0.5


@dataclass(frozen=True)
class Service:
    """Everything a request can use; exists only when all of it does."""

    settings: Settings
    database: Database
    generation: generations.Generation
    embedder: Embedder
    guard: Guard
    policies: Policies
    rates: RateLimits
    memories: Memories
    submitting: Submitting
    changing: Changing
    exporting: Exporting
    importing: Importing
    searcher: Searcher
    explorer: Explorer
    graph: Graph | None
    vectors: Vectors | None
    backfill: Backfill | None
    webhooks: Webhooks | None
    feed: Feed
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
    resolver: Resolver = resolve
    vectors: Callable[..., VectorSink | None] = vector_sink.create
    """Called with the settings and what :func:`memsys_api.sinks.vectors.create` takes beside them."""


class Runtime:
    """Begins before its databases are there and serves when they are."""

    def __init__(self, settings: Settings, makers: Makers) -> None:
        self._settings = settings
        self._makers = makers
        self._starting: asyncio.Task[None] | None = None
        self._chores: list[asyncio.Task[None]] = []
        self._embedder: Embedder | None = None
        self._inferrer: Inferrer | None = None
        self.service: Service | None = None
        self.waiting_for = "the start"
        self.leaving = False

    def start(self) -> None:
        """Begin to connect, migrate and load, in the background."""
        self._starting = asyncio.create_task(self._start(), name="start")

    def leave(self) -> None:
        """Ask clients to go elsewhere, and end the answers that would otherwise go on for ever."""
        self.leaving = True
        if self.service:
            self.service.feed.close()

    async def stop(self) -> None:
        """Let go of everything; requests have ended."""
        await _end({task for task in (self._starting, *self._chores) if task})
        service, self.service = self.service, None
        if service:
            if service.backfill:
                await service.backfill.stop()
            await service.feed.stop()
            if service.webhooks:
                await service.webhooks.dispatcher.stop()
            await service.eraser.stop()
            for fed in service.fed:
                await fed.stop()
            await service.guard.close()
            await service.database.close()
        for part in (self._inferrer, self._embedder):
            if part:
                await part.close()

    async def _start(self) -> None:
        while True:
            wait = _RETRY_SECONDS
            try:
                self.service = await self._assemble()
            except (DatabaseUnavailable, StatementTimeout) as error:
                self._say(f"PostgreSQL at {_address(self._settings.migration_url)} does not answer: {error}")
            except EmbedderUnavailable as error:
                self._say(f"the embedder {self._settings.embedder_provider} does not answer: {error}")
            except (migrate.MigrationError, generations.EmbedderMismatch, EmbedderError, InferenceRejected) as error:
                self._say(str(error))
                wait = _STUCK_SECONDS
            except Exception as error:
                log.exception("start failed")
                self._say(f"the start fails with {type(error).__name__}; the log has the details")
                wait = _STUCK_SECONDS
            else:
                metrics.READY.set(1)
                log.info("ready")
                return
            await asyncio.sleep(wait)

    def _say(self, reason: str) -> None:
        reason = " ".join(reason.split())
        if reason != self.waiting_for:
            log.warning("waiting", extra={"reason": reason})
        self.waiting_for = reason

    async def _assemble(self) -> Service:
        settings = self._settings
        role = _role_besides_owner(settings)
        await migrate.migrate(settings.migration_url, role)
        if self._embedder is None:
            self._embedder = MeasuredEmbedder(await self._makers.embedder(settings))
        if self._inferrer is None and (inferrer := await self._makers.inferrer(settings)):
            self._inferrer = MeasuredInferrer(inferrer)
        embedder = self._embedder
        generation = await generations.ensure_active(
            settings.migration_url,
            role,
            provider=embedder.provider,
            model=embedder.model,
            dimensions=embedder.dimensions,
            precision=settings.vector_precision,
        )
        baseline = retrieval.baseline(await embedder.embed(retrieval.CALIBRATION_TEXTS))
        sink = self._makers.graph(settings)
        database = Database(
            settings.serving_url,
            size=settings.database_pool_size,
            timeout=settings.database_timeout_seconds,
            prepare=settings.database_prepared_statements,
        )
        await database.open()
        try:
            await database.ping(seconds=5)
            retry_base = settings.graph_retry_base_seconds
            graph = feed_graph(database, sink, retry_base=retry_base) if sink else None
            make = partial(self._makers.vectors, settings)
            vectors = await feed_vectors(database, generation, make, retry_base=retry_base)
            service = self._serve(generation, embedder, baseline, database, graph, vectors)
            await service.eraser.catch_up()
        except BaseException:
            await database.close()
            raise
        service.eraser.start()
        for fed in service.fed:
            fed.dispatcher.start()
        if service.graph:
            self._chores.append(asyncio.create_task(service.graph.rebuilder.keep(), name="rebuild"))
        if service.vectors:
            self._chores.append(asyncio.create_task(service.vectors.filling.keep(), name="vector-filling"))
        if service.backfill:
            service.backfill.start()
        if service.webhooks:
            service.webhooks.dispatcher.start()
        service.feed.start()
        self._chores.append(asyncio.create_task(retention.keep(database), name="retention"))
        sinks, wake = names_and_wake(service.fed, service.webhooks, service.feed)
        expiry = retention.expire_by_and_by(database, generation, sinks, wake)
        self._chores.append(asyncio.create_task(expiry, name="expiry"))
        if settings.audit_retention_days:
            shortening = audit.keep(settings.migration_url, settings.audit_retention_days)
            self._chores.append(asyncio.create_task(shortening, name="audit"))
        if settings.vector_index != "exact":
            rows = settings.vector_exact_rows if settings.vector_index == "auto" else 0
            indexing = vector_index.keep(settings.migration_url, generation, rows)
            self._chores.append(asyncio.create_task(indexing, name="vector-index"))
        return service

    def _serve(
        self,
        generation: generations.Generation,
        embedder: Embedder,
        baseline: float,
        database: Database,
        graph: Graph | None,
        vectors: Vectors | None,
    ) -> Service:
        """Put the flows on top of the parts that are there now."""
        settings = self._settings
        assert settings.admin_key is not None  # held by Settings
        webhooks = webhook_sink.create(settings, database, self._makers.resolver)
        feed = Feed(database, most=settings.changes_max_streams)
        fed: list[Fed[Sink]] = [one for one in (graph, vectors) if one is not None]
        sinks, wake = names_and_wake(fed, webhooks, feed)
        policies = Policies(database, settings)
        gate = Gate(database, policies)
        inferring = backfill = None
        if self._inferrer is not None:
            inferring = Inferring(database, generation, embedder, self._inferrer, Budgets(database, policies), gate)
            backfill = Backfill(
                database,
                self._inferrer,
                inferring,
                sinks,
                wake,
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
            rates=RateLimits(database),
            submitting=Submitting(
                database, generation, embedder, sinks, wake, backfill.wake if backfill else None, gate
            ),
            memories=Memories(database, generation, embedder, sinks, wake, gate, inferring),
            changing=Changing(database, generation, embedder, sinks, wake, gate),
            exporting=Exporting(database),
            importing=Importing(database, generation, embedder, sinks, wake, gate),
            explorer=Explorer(database),
            searcher=Searcher(
                database,
                generation,
                embedder,
                graph,
                vector_baseline=baseline,
                index=settings.vector_index,
                exact_rows=settings.vector_exact_rows,
                graph_timeout=settings.graph_search_timeout_seconds,
                vectors=VectorIndex(vectors, timeout=settings.vector_search_timeout_seconds) if vectors else None,
            ),
            graph=graph,
            vectors=vectors,
            backfill=backfill,
            webhooks=webhooks,
            feed=feed,
            eraser=erasing.create(settings, database, generation, embedder, [one.sink for one in fed], wake),
        )


async def _end(tasks: set[asyncio.Task[None]]) -> None:
    """Cancel tasks until they have ended: psycopg may swallow a cancellation that comes while it cleans up."""
    while tasks:
        for task in tasks:
            task.cancel()
        _, tasks = await asyncio.wait(tasks, timeout=_CANCEL_AGAIN_SECONDS)


def _role_besides_owner(settings: Settings) -> str | None:
    """The serving role, where it is another than the one that runs migrations."""
    if settings.serving_url == settings.migration_url:
        return None
    user = urlsplit(settings.serving_url).username
    return unquote(user) if user else None


def _address(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.hostname or 'the local socket'}:{parts.port or 5432}"
