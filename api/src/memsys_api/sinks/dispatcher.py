"""Feeds one sink from its queue: claims deliveries, applies them in batches, tries again, parks.

Knows the sink only by its protocol. Any number of replicas may run one each: a delivery is held by a lease, a memory
has one delivery, and a sink refuses what is older than what it holds. Dying at any point loses nothing: the lease
ends and the delivery is claimed again. What was left behind more than once is tried one at a time, and parked when
nobody has come through with it in its last attempt either.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from uuid import UUID, uuid4

from memsys_api import background, causes, telemetry
from memsys_api.metrics import SINK_AVAILABLE, SINK_DELIVERIES, SINK_LAG, SINK_PARKED, SINK_PENDING
from memsys_api.model import SinkRecord
from memsys_api.ports import Sink, SinkRefused, SinkUnavailable
from memsys_api.sinks.attempts import ATTEMPTS, wait_after
from memsys_api.sinks.breaker import Breaker
from memsys_api.store import deliveries, renaming
from memsys_api.store.database import Database, DatabaseUnavailable, StatementTimeout
from memsys_api.store.deliveries import Claim, Failure
from memsys_api.store.records import newest

log = logging.getLogger(__name__)

_BATCH = 200
_FIRST_BATCH = 25  # of a sink that has just come back: a cold one would not be done with more in time
_WORKERS = 2
_APPLY_SECONDS = 20.0
_LOOK_SECONDS = 3.0
_LEASE = timedelta(seconds=60)  # longer than an apply can take
_POLL_SECONDS = 1.0
_STOP_SECONDS = 5.0
_ERROR_LENGTH = 500
_NEVER_ENDED = (
    f"{ATTEMPTS} attempts were begun and the last of them never came to an end: see why the API stopped, then deliver "
    "it again with POST /sinks/{name}/sync"
)


class Dispatcher:
    """Keeps one sink up to date; ``named`` says that it shows the names of entities."""

    def __init__(
        self, database: Database, sink: Sink, breaker: Breaker, *, retry_base: float = 1.0, named: bool = False
    ) -> None:
        self._database = database
        self._sink = sink
        self._breaker = breaker
        self._retry_base = retry_base
        self._named = named
        self._due = asyncio.Event()
        self._tasks = background.Tasks()
        self._stopping = self._tasks.stopping
        self._away: SinkUnavailable | None = None
        self._size = _FIRST_BATCH
        self._prepared = False
        self._preparing = asyncio.Lock()
        self.backlog: int | None = None
        """How many deliveries were not applied when last looked at; ``None`` before the first look."""

    def wake(self) -> None:
        """Something is due."""
        self._due.set()

    def start(self) -> None:
        """Begin to work in the background."""
        self._tasks.start(self._watch(), f"{self._sink.name}-watch")
        for n in range(_WORKERS):
            self._tasks.start(self._work(suspects=int(n == 0)), f"{self._sink.name}-worker-{n}")

    async def stop(self) -> None:
        """Stop after the batch at hand, or without it when it takes long: it is claimed again by whoever comes next."""
        self._due.set()
        await self._tasks.end(_STOP_SECONDS)

    async def drain(self, project: str | None = None, memory_id: UUID | None = None) -> AsyncIterator[int]:
        """Apply what is due right now, in the caller's time: of all projects, of one, or one memory of it.

        Yields how many each batch applied, so that a caller who gives up knows. Ends early when the sink is away.
        """
        while (done := await self._batch(project, memory_id)) is not None:
            yield done
            if not self._breaker.closed:
                break

    async def _work(self, suspects: int) -> None:
        while not self._stopping.is_set():
            self._due.clear()  # before looking, so that what comes meanwhile is not missed
            try:
                if await self._batch(away=self._away, suspects=suspects) is None:
                    await self._idle()
            except (DatabaseUnavailable, StatementTimeout):
                await self._rest()
            except Exception:
                log.exception("dispatcher failed", extra={"sink": self._sink.name})
                await self._rest()

    async def _idle(self) -> None:
        """Until something is due; looks again after a while for what other replicas have left behind."""
        if not self._stopping.is_set():
            await background.wait(self._due, _POLL_SECONDS)

    async def _rest(self) -> None:
        await background.wait(self._stopping, _POLL_SECONDS)

    async def _batch(
        self,
        project: str | None = None,
        memory_id: UUID | None = None,
        *,
        away: SinkUnavailable | None = None,
        suspects: int = 0,
    ) -> int | None:
        """Claim and apply one batch; how many were applied, ``None``: nothing was due.

        ``away``: the sink is known not to answer. Then nothing is read, and it is not asked: it is looked at all the
        time, and an outage would have each of its deliveries read, and waited for, seven times.
        """
        lease = uuid4()
        size = _BATCH if away is not None else self._size
        claims = await deliveries.claim(
            self._database,
            self._sink.name,
            lease,
            size,
            _LEASE,
            project,
            memory_id,
            most=ATTEMPTS,
            suspects=suspects,
        )
        if not claims:
            return None
        by_memory = {(held.project, held.memory_id): held for held in claims}
        records: Sequence[SinkRecord] = ()
        errors: dict[tuple[str, UUID], Exception]
        if away is not None:
            errors = dict.fromkeys(by_memory, away)
        else:
            with telemetry.work(f"deliver {self._sink.name}", **{"memsys.deliveries": len(claims)}):
                records = await self._records([held for held in claims if not held.spent])
                errors = await self._apply(records) if records else {}
        errors |= {(held.project, held.memory_id): SinkRefused(_NEVER_ENDED) for held in claims if held.spent}
        applied = [(by_memory[r.project, r.id], r) for r in records if (r.project, r.id) not in errors]
        failed = [self.failure(by_memory[memory], error) for memory, error in errors.items()]
        await deliveries.settle(self._database, self._sink.name, lease, applied, failed)
        if away is not None and self._away is None:
            self._breaker.trip()  # it has come back meanwhile: these are to be made due again as well
        if waits := [failure.wait for failure in failed if failure.wait is not None]:
            asyncio.get_running_loop().call_later(min(waits).total_seconds(), self.wake)
        SINK_DELIVERIES.labels(self._sink.name, "applied").inc(len(applied))
        for failure in failed:
            SINK_DELIVERIES.labels(self._sink.name, failure.cause).inc()
        return len(applied)

    async def _records(self, claims: Sequence[Claim]) -> list[SinkRecord]:
        """What the claims stand for: each memory's newest state, which may be newer than the claim."""
        by_project: dict[str, list[Claim]] = {}
        for held in claims:
            by_project.setdefault(held.project, []).append(held)
        records = []
        for project, here in by_project.items():
            if self._named and await renaming.announce(self._database, self._sink.name, project):
                self.wake()
            found = await newest(self._database, project, [held.memory_id for held in here])
            records += [
                found.get(held.memory_id, SinkRecord(project, held.memory_id, held.version, None)) for held in here
            ]
        return records

    async def _apply(self, records: Sequence[SinkRecord]) -> dict[tuple[str, UUID], Exception]:
        """Apply a batch; the errors of those that were not, by memory.

        When the sink fails as a whole on something else than being away, the batch is halved until the record at
        fault stands alone, so that it does not hold back the others.
        """
        try:
            async with asyncio.timeout(_APPLY_SECONDS):
                async with self._preparing:  # one at a time: Neo4j may deadlock on two who make the same index
                    if not self._prepared:
                        await self._prepare()
                refused = await self._sink.apply(records)
        except (SinkUnavailable, TimeoutError) as error:
            self._breaker.trip()
            self._prepared = False  # what returns may be an empty one
            self._size = _FIRST_BATCH
            self._away = away = SinkUnavailable(str(error) or f"no answer within {_APPLY_SECONDS:.0f} s")
            return {(r.project, r.id): away for r in records}
        except Exception as error:
            if len(records) == 1:
                return {(records[0].project, records[0].id): error}
            middle = len(records) // 2
            return await self._apply(records[:middle]) | await self._apply(records[middle:])
        self._size = min(2 * self._size, _BATCH)
        return {(r.project, r.id): SinkRefused(refused[r.id]) for r in records if r.id in refused}

    async def _prepare(self) -> None:
        """Prepare the sink. Raises :class:`SinkUnavailable` for any failure: none of them is about a record."""
        try:
            await self._sink.prepare()
        except SinkUnavailable:
            raise
        except Exception as error:
            reason = str(error) if isinstance(error, SinkRefused) else causes.cause(error)
            log.error("sink cannot be prepared", extra={"sink": self._sink.name, "reason": reason})
            raise SinkUnavailable(f"it cannot be prepared: {reason}") from error
        self._prepared = True

    def failure(self, held: Claim, error: Exception) -> Failure:
        """What becomes of a claim whose attempt failed: due again after a wait, or parked after the last attempt."""
        wait = wait_after(held.attempts, self._retry_base)
        cause: deliveries.Cause = "away" if isinstance(error, SinkUnavailable) else "record"
        said = str(error) if isinstance(error, SinkUnavailable | SinkRefused) else causes.cause(error)
        return Failure(held, cause, said[:_ERROR_LENGTH], wait)

    async def _watch(self) -> None:
        """See whether the sink answers; when it does, make due what only waited for that."""
        while not self._stopping.is_set():
            try:
                await self._look()
            except (DatabaseUnavailable, StatementTimeout):
                log.debug("queue not looked at: database away", extra={"sink": self._sink.name})
            except Exception:
                log.exception("sink watch failed", extra={"sink": self._sink.name})
            await self._rest()

    async def _look(self) -> None:
        name = self._sink.name
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                available = await self._sink.available()
        except TimeoutError:
            available = False
        if not available:
            self._breaker.trip()
        else:
            self._away = None
            await self._requeue()
        status = await deliveries.status(self._database, name)
        self.backlog = status.pending + status.parked
        SINK_AVAILABLE.labels(name).set(available)
        SINK_PENDING.labels(name).set(status.pending)
        SINK_PARKED.labels(name).set(status.parked)
        SINK_LAG.labels(name).set(status.lag_seconds)

    async def _requeue(self) -> None:
        """Make due what waited for the sink, a batch at a time, and let the sink be used from the first one on.

        Every time: a worker may still have parked what it found away when others knew better. And before the breaker
        is told: without PostgreSQL, the return would be news to the next look again. What an interruption leaves
        parked, the next look finds; what it leaves put off, its own time.
        """
        waiting = not self._breaker.closed
        while True:
            requeued = await deliveries.requeue_away(self._database, self._sink.name, waiting=waiting)
            if requeued:
                self.wake()
            if self._away is not None:
                break  # a worker has found it away again meanwhile
            self._breaker.reset()
            if requeued < deliveries.REQUEUED or self._stopping.is_set():
                break
