"""Carries out erasures, step by step. Any number of replicas may run one each: an erasure is held by a lease.

note      write it to the ledger outside the database, where there is one: from here on a restore cannot undo it
postgres  take the memories, in batches, until none is left; then what points to them; then orphaned entities
sinks     wait until every sink has applied the tombstones
verify    count again everywhere; where something is left, go back
vacuum    clear the removed rows away as far as the role may, and write the receipt

Every step can be interrupted at any point and done again. What was recorded by the time of the request is forgotten,
also by transactions that were under way then; what is recorded later is new and stays.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

from memsys_api import acting, background
from memsys_api.erasing import ledger
from memsys_api.erasing.receipt import Kept, remainders
from memsys_api.model import ErasureStep
from memsys_api.ports import Sink, SinkUnavailable
from memsys_api.store import chores, deliveries, erasure, erasures, orphans, past
from memsys_api.store.database import Connection, Database, DatabaseUnavailable, StatementTimeout
from memsys_api.store.erasures import Erasure
from memsys_api.store.generations import Generation
from memsys_api.store.vacuum import vacuum, write_ahead_log

log = logging.getLogger(__name__)

_POLL_SECONDS = 1.0
_LEASE = timedelta(seconds=60)
_BEAT_SECONDS = 15.0
_SOON = timedelta(seconds=1)
_LATER = timedelta(seconds=10)
_LOCK_SECONDS = 1.0
_PAGE = 1_000
_STOP_SECONDS = 5.0


class Wait(Exception):
    """A step cannot end yet; the message says for what it waits."""


class Lost(Exception):
    """Somebody else holds the erasure now."""


@dataclass(frozen=True)
class Outside:
    """What lies outside of PostgreSQL's reach."""

    owner_url: str
    sinks: Sequence[Sink]
    wake_sinks: Callable[[], None]
    forget_cached: Callable[[], None]
    ledger: Path | None
    remembered: timedelta | None
    """How long the ledger keeps an erasure; ``None``: for ever."""
    kept: Kept


class Eraser:
    """Works off the erasures, and drops what this replica has cached when any replica has finished one."""

    def __init__(self, database: Database, generation: Generation, outside: Outside) -> None:
        self._database = database
        self._generation = generation
        self._outside = outside
        self._sink_names = [sink.name for sink in outside.sinks]
        self._due = asyncio.Event()
        self._tasks = background.Tasks()
        self._stopping = self._tasks.stopping
        self._seen: datetime | None = None
        self._steps = {
            "note": self._note,
            "postgres": self._postgres,
            "sinks": self._sinks,
            "verify": self._verify,
            "vacuum": self._vacuum,
        }

    def wake(self) -> None:
        """Something is due."""
        self._due.set()

    def start(self) -> None:
        """Begin to work in the background."""
        self._tasks.start(self._work(), "eraser")
        self._tasks.start(self._watch(), "eraser-watch")

    async def stop(self) -> None:
        """Stop after the step at hand, or without it when it takes long: it is done again by whoever comes next."""
        self._due.set()
        await self._tasks.end(_STOP_SECONDS)

    async def replay(self, lines: Sequence[ledger.Line]) -> int:
        """Have these erasures carried out once more, on what was recorded before them; says how many."""
        for line in lines:
            await erasures.request(
                self._database,
                line.project,
                line.id,
                line.scope,
                line.requested_by,
                requested_at=line.requested_at,
                recorded_before=line.recorded_before,
            )
        self.wake()
        return len(lines)

    async def catch_up(self) -> None:
        """At the start: remove what the ledger outside the database says is to be forgotten, before anything is read.

        What sinks have to forget is told to them as soon as they answer.
        """
        path, remembered = self._outside.ledger, self._outside.remembered
        if path and remembered:
            await asyncio.to_thread(ledger.shorten, path, datetime.now(UTC) - remembered)
        lines = await asyncio.to_thread(ledger.read, path) if path else []
        known = {(e.project, e.id): e async for e in erasures.ledger(self._database, None)}
        missing = [
            line for line in lines if (held := known.get((line.project, line.id))) is None or held.state != "done"
        ]
        if missing:
            log.warning("replaying erasures that this database does not know of", extra={"erasures": len(missing)})
            await self.replay(missing)
            for line in missing:
                entry = await erasures.get(self._database, line.project, line.id)
                assert entry is not None  # requested just now
                await self._remove(entry)

    async def step(self) -> bool:
        """Carry on with what is due for longest, as far as it goes; ``False``: nothing is due."""
        lease = uuid4()
        claimed = await erasures.claim(self._database, lease, _LEASE)
        if claimed is None:
            return False
        beat = asyncio.create_task(self._beat(claimed, lease), name="eraser-lease")
        wait, waits_for = timedelta(), claimed.waits_for
        try:
            with acting.on_behalf_of(claimed.requested_by):
                while claimed.state == "running":
                    await self._steps[claimed.step](claimed, lease)
                    claimed = await self._reread(claimed)
        except Wait as reason:
            wait, waits_for = _SOON, str(reason)
        except SinkUnavailable as reason:
            wait, waits_for = _SOON, f"a sink that does not answer: {reason}"
        except OSError as reason:
            wait, waits_for = _LATER, f"the erasure ledger {self._outside.ledger}: {reason.strerror}"
        except (DatabaseUnavailable, StatementTimeout) as reason:
            wait, waits_for = _LATER, f"PostgreSQL: {' '.join(str(reason).split())}"
        except Lost:
            log.warning("erasure is carried on by another replica", extra={"erasure": str(claimed.id)})
        finally:
            beat.cancel()
            with suppress(DatabaseUnavailable, StatementTimeout):
                await erasures.put_off(self._database, claimed, lease, wait, waits_for)
        return True

    async def _note(self, entry: Erasure, lease: UUID) -> None:
        if self._outside.ledger is not None:
            await asyncio.to_thread(ledger.append, self._outside.ledger, entry)
        await self._advance(entry, lease, "postgres")

    async def _postgres(self, entry: Erasure, lease: UUID) -> None:
        if writing := await past.unfinished(self._database, entry.recorded_before):
            raise Wait(f"PostgreSQL: {writing} transactions that began before the request")
        await self._remove(entry, lease)
        self._outside.wake_sinks()
        await self._advance(entry, lease, "sinks")

    async def _remove(self, entry: Erasure, lease: UUID | None = None) -> None:
        """Take everything out of PostgreSQL. Without a lease nothing of it is noted: the steps come by again."""
        target, project = entry.target, entry.project
        while True:
            async with self._database.transaction(project) as conn:
                found, counts = await erasure.sweep(conn, self._generation, entry.id, target, self._sink_names)
                await self._counted(conn, entry, lease, counts)
            if not found:
                break
        async with self._database.transaction(project) as conn:
            await self._counted(conn, entry, lease, await erasure.strip(conn, entry.id, target))
        try:
            async with self._database.transaction(project) as conn:
                counts = await orphans.remove(conn, project, entry.id, self._sink_names, lock_seconds=_LOCK_SECONDS)
                await self._counted(conn, entry, lease, counts)
        except orphans.Busy as error:
            if lease is not None:
                raise Wait(f"PostgreSQL: {error}") from error

    async def _counted(self, conn: Connection, entry: Erasure, lease: UUID | None, counts: Mapping[str, int]) -> None:
        if lease is None or not any(counts.values()):
            return
        if not await erasures.advance(conn, entry, lease, "postgres", removed=("postgres", counts)):
            raise Lost

    async def _sinks(self, entry: Erasure, lease: UUID) -> None:
        async with self._database.transaction(entry.project) as conn:
            behind = await erasure.undelivered(conn, entry.project, entry.id)
        if behind:
            raise Wait(
                "; ".join(
                    f"{sink}: {count} deletions not applied"
                    + (f", {parked} of them parked ({error})" if parked else "")
                    for sink, count, parked, error in behind
                )
            )
        await self._advance(entry, lease, "verify")

    async def _verify(self, entry: Erasure, lease: UUID) -> None:
        left = {"postgres": await erasure.left(self._database, entry.id, entry.target)}
        told = 0
        held = dict.fromkeys(self._sink_names, 0)
        async for batch in self._taken(entry):
            told += len(batch)
            for sink in self._outside.sinks:
                if remaining := await sink.holding(entry.project, erasure.ids_of(batch)):
                    held[sink.name] += remaining
                    async with self._database.transaction(entry.project) as conn:
                        await deliveries.enqueue(conn, entry.project, [sink.name], batch)
        if any(left["postgres"].values()):
            await self._advance(entry, lease, "postgres")
        elif any(held.values()):
            self._outside.wake_sinks()
            await self._advance(entry, lease, "sinks")
        else:
            verified = left | {name: {"memories": count} for name, count in held.items()}
            async with self._database.transaction(entry.project) as conn:
                counts = ("sinks", dict.fromkeys(self._sink_names, told))
                if not await erasures.advance(conn, entry, lease, "vacuum", removed=counts, verified=verified):
                    raise Lost

    async def _vacuum(self, entry: Erasure, lease: UUID) -> None:
        async with self._database.system() as conn:
            names = [
                name
                for name, table in (await erasure.tables(conn)).items()
                if table.treatment in ("rows", "scope", "records", "orphans")
            ]
        vacuumed = await vacuum(self._outside.owner_url, names)
        assert entry.mark is not None  # set by the step before
        remain = remainders(
            requested=entry.recorded_before,
            mark=entry.mark,
            finished=datetime.now(UTC),
            vacuumed=vacuumed,
            wal=await write_ahead_log(self._database),
            kept=self._outside.kept,
            sinks=self._sink_names,
        )
        receipt = {
            "removed": entry.removed,
            **(entry.receipt or {}),
            "remains": [remainder.to_json() for remainder in remain],
        }
        async with self._database.transaction(entry.project) as conn:
            if not await erasures.finish(conn, entry, lease, receipt):
                raise Lost

    async def _advance(self, entry: Erasure, lease: UUID, step: ErasureStep) -> None:
        async with self._database.transaction(entry.project) as conn:
            if not await erasures.advance(conn, entry, lease, step):
                raise Lost

    async def _reread(self, entry: Erasure) -> Erasure:
        found = await erasures.get(self._database, entry.project, entry.id)
        if found is None:
            raise Lost
        return found

    async def _taken(self, entry: Erasure) -> AsyncIterator[list[tuple[UUID, int]]]:
        after: UUID | None = None
        while True:
            async with self._database.transaction(entry.project) as conn:
                batch = await erasure.taken(conn, entry.project, entry.id, after, _PAGE)
            if not batch:
                return
            yield batch
            after = batch[-1][0]

    async def _beat(self, entry: Erasure, lease: UUID) -> None:
        while True:
            await asyncio.sleep(_BEAT_SECONDS)
            with suppress(DatabaseUnavailable, StatementTimeout):
                await erasures.extend(self._database, entry, lease, _LEASE)

    async def _work(self) -> None:
        while not self._stopping.is_set():
            self._due.clear()  # before looking, so that what comes meanwhile is not missed
            try:
                if not await self.step():
                    await background.wait(self._due, _POLL_SECONDS)
            except (DatabaseUnavailable, StatementTimeout):
                await background.wait(self._stopping, _POLL_SECONDS)
            except Exception:
                log.exception("erasure failed")
                await background.wait(self._stopping, _POLL_SECONDS)

    async def _watch(self) -> None:
        await chores.repeat("erasures", self._look, _POLL_SECONDS, until=self._stopping, put_off=logging.DEBUG)

    async def _look(self) -> None:
        """See whether anything was forgotten since the last look, by whichever replica."""
        verified = await erasures.last_verified(self._database)
        if verified != self._seen:
            self._outside.forget_cached()
        self._seen = verified
