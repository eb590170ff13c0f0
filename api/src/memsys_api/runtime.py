"""The life of a running API: waits for what it needs, saying for what; starts the chores; lets go of everything."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from functools import partial
from urllib.parse import unquote, urlsplit

from memsys_api import assembling, metrics, retrieval
from memsys_api.assembling import Makers, Service
from memsys_api.background import Tasks, on_lost
from memsys_api.flows.feeding import feed_graph, feed_vectors
from memsys_api.inference import InferenceRejected, Inferrer
from memsys_api.measured import MeasuredEmbedder, MeasuredInferrer
from memsys_api.ports import Embedder, EmbedderError, EmbedderUnavailable
from memsys_api.quarantine import watch
from memsys_api.reranking import RerankerRejected, Reranking
from memsys_api.settings import Settings
from memsys_api.store import audit, generations, migrate, retention, vector_index
from memsys_api.store.database import Database, DatabaseUnavailable, StatementTimeout, address

log = logging.getLogger(__name__)

_RETRY_SECONDS = 1.0
_STUCK_SECONDS = 10.0
_REJECTED = (
    migrate.MigrationError,
    generations.EmbedderMismatch,
    EmbedderError,
    InferenceRejected,
    RerankerRejected,
)
"""What no waiting mends: somebody has to change a setting."""


class Runtime:
    """Begins before its databases are there and serves when they are."""

    def __init__(self, settings: Settings, makers: Makers) -> None:
        self._settings = settings
        self._makers = makers
        self._tasks = Tasks()
        self._embedder: Embedder | None = None
        self._inferrer: Inferrer | None = None
        self._reranker: Reranking | None = None
        self.service: Service | None = None
        self.waiting_for = "the start"
        self.leaving = False
        self.broken = False
        """Whether something has ended that was to go on: then the process is to end, and be started anew.

        Started again in here it would go on with whatever broke it, and without it the replica would look ready while
        its part is not done. Ending costs nothing: requests are finished, and what was under way is claimed again by
        the other replicas or the next process.
        """

    def start(self) -> None:
        """Begin to connect, migrate and load, in the background."""
        on_lost.set(self._break)  # for all that is started from here on, also by the parts
        self._tasks.start(self._start(), "start", finite=True)

    def leave(self) -> None:
        """Ask clients to go elsewhere, and end the answers that would otherwise go on for ever."""
        self.leaving = True
        if self.service:
            self.service.feed.close()

    async def stop(self) -> None:
        """Let go of everything; requests have ended."""
        await self._tasks.end()
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
        for part in (self._reranker, self._inferrer, self._embedder):
            if part:
                await part.close()

    def _break(self) -> None:
        self.broken = True

    async def _start(self) -> None:
        while True:
            try:
                wait = await self._attempt()
            except Exception as error:  # also of saying what is missing: nobody else looks after this task
                log.exception("start failed")
                self._say(f"the start fails with {type(error).__name__}; the log has the details")
                wait = _STUCK_SECONDS
            if wait is None:
                return
            await asyncio.sleep(wait)

    async def _attempt(self) -> float | None:
        """Start once; ``None``: it is done, else in how many seconds to try again."""
        try:
            self.service = await self._assemble()
        except (DatabaseUnavailable, StatementTimeout) as error:
            self._say(f"PostgreSQL at {address(self._settings.migration_url)} does not answer: {error}")
            return _RETRY_SECONDS
        except EmbedderUnavailable as error:
            self._say(f"the embedder {self._settings.embedder_provider} does not answer: {error}")
            return _RETRY_SECONDS
        except _REJECTED as error:
            self._say(str(error))
            return _STUCK_SECONDS
        metrics.READY.set(1)
        log.info("ready")
        return None

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
        if self._reranker is None:
            self._reranker = await self._makers.reranker(settings)
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
            service = assembling.service(
                settings,
                resolver=self._makers.resolver,
                database=database,
                generation=generation,
                embedder=embedder,
                inferrer=self._inferrer,
                reranker=self._reranker,
                baseline=baseline,
                graph=graph,
                vectors=vectors,
            )
            await service.eraser.catch_up()
        except BaseException:
            await database.close()
            raise
        service.eraser.start()
        for fed in service.fed:
            fed.dispatcher.start()
        if service.graph:
            self._tasks.start(service.graph.rebuilder.keep(), "rebuild")
        if service.vectors:
            self._tasks.start(service.vectors.filling.keep(), "vector-filling")
        if service.backfill:
            service.backfill.start()
        if service.shaper:
            self._tasks.start(service.shaper.keep(), "shaping")
        if service.webhooks:
            service.webhooks.dispatcher.start()
        service.feed.start()
        days = settings.erasure_ledger_retention_days
        sweeping = retention.keep(database, timedelta(days=days) if days else None)
        self._tasks.start(sweeping, "retention")
        expiry = retention.expire_by_and_by(database, generation, service.outbox)
        self._tasks.start(expiry, "expiry")
        self._tasks.start(watch.keep(database), "quarantine")
        if settings.audit_retention_days:
            shortening = audit.keep(settings.migration_url, settings.audit_retention_days)
            self._tasks.start(shortening, "audit")
        if settings.vector_index != "exact" and not generation.indexable:
            log.warning("too many dimensions for an approximate index: search stays exact")
        elif settings.vector_index != "exact":
            rows = settings.vector_exact_rows if settings.vector_index == "auto" else 0
            indexing = vector_index.keep(settings.migration_url, generation, rows)
            self._tasks.start(indexing, "vector-index")
        return service


def _role_besides_owner(settings: Settings) -> str | None:
    """The serving role, where it is another than the one that runs migrations."""
    if settings.serving_url == settings.migration_url:
        return None
    user = urlsplit(settings.serving_url).username
    return unquote(user) if user else None
