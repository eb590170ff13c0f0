"""Builds a project's graph anew from PostgreSQL while it is read: applies every memory again, and removes the rest.

A procedure of leased steps whose state is in PostgreSQL: any replica does the next one, and dying between two loses
nothing. A memory is replaced in one transaction of the graph, so that a reader meets the old one or the new one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import timedelta
from uuid import UUID, uuid4

from memsys_api import background
from memsys_api.causes import cause, in_one_line
from memsys_api.ports import GraphSink, SinkUnavailable
from memsys_api.sinks.drift import RANGE, shared_end
from memsys_api.store import deliveries, rebuilds, records
from memsys_api.store.database import Database, DatabaseUnavailable, StatementTimeout
from memsys_api.store.rebuilds import Step

log = logging.getLogger(__name__)

_LEASE = timedelta(seconds=120)  # longer than a step can take
_POLL_SECONDS = 1.0
_WAIT = timedelta(seconds=1)
_ERROR_LENGTH = 500


async def renew_names(database: Database, sink: GraphSink, project: str, ids: Sequence[UUID]) -> None:
    """Before memories are applied afresh: what PostgreSQL calls the entities that they speak of is to stand.

    The graph keeps the newer of two names. One that was written by hand, or before PostgreSQL was restored from a
    backup, would look newer for ever.
    """
    found = (await records.newest(database, project, ids)).values()
    if keys := {one.key for record in found for one in (*record.extraction.entities, *record.beside)}:
        await sink.doubt_names(project, sorted(keys))


class Rebuilder:
    """Does the steps of rebuilds that are due."""

    def __init__(self, database: Database, sink: GraphSink, wake: Callable[[], None]) -> None:
        self._database = database
        self._sink = sink
        self._wake = wake
        self._due = asyncio.Event()

    async def request(self, projects: list[str]) -> None:
        """Begin to rebuild these projects; those that are being rebuilt go on as they are."""
        await rebuilds.request(self._database, self._sink.name, projects)
        self._due.set()

    async def keep(self) -> None:
        """Do whatever step is due; never returns."""
        while True:
            self._due.clear()
            try:
                done = await self.step()
            except (DatabaseUnavailable, StatementTimeout) as error:
                log.debug("rebuild put off", extra={"reason": in_one_line(error)})
                done = False
            except Exception:
                log.exception("rebuild failed")
                done = False
            if not done:
                await background.wait(self._due, _POLL_SECONDS)

    async def step(self) -> bool:
        """Do one step; whether there was one to do."""
        lease = uuid4()
        step = await rebuilds.claim(self._database, self._sink.name, lease, _LEASE)
        if step is None:
            return False
        try:
            await {"applying": self._apply, "sweeping": self._sweep, "draining": self._drain}[step.state](lease, step)
        except (SinkUnavailable, TimeoutError) as error:
            reason = str(error)[:_ERROR_LENGTH] or "the graph did not answer in time"
            await rebuilds.put_off(self._database, self._sink.name, lease, step, reason, _WAIT)
        except Exception as error:
            await rebuilds.put_off(self._database, self._sink.name, lease, step, cause(error)[:_ERROR_LENGTH], _WAIT)
            raise
        return True

    async def _apply(self, lease: UUID, step: Step) -> None:
        """Queue the next range of memories, and take from the graph what would stand in their way.

        That is a memory that PostgreSQL does not have, and one of a version that PostgreSQL has not reached: after a
        restore from a backup the graph would refuse all that is older.
        """
        project = step.project
        present = [row[0] for row in await self._sink.read(project, step.after, RANGE)]
        heads = await records.heads_after(self._database, project, step.after, RANGE)
        end = shared_end([memory_id for memory_id, _ in heads], present, RANGE)
        ids = [i for i in dict.fromkeys([*present, *(i for i, _ in heads)]) if end is None or i <= end]
        held = await self._sink.versions(project, ids)
        # Read after the graph: what is newer there than here was never written.
        versions = await records.versions_of(self._database, project, ids)
        wrong = [i for i, version in held.items() if i not in versions or version > versions[i]]
        if wrong:
            await self._sink.forget(project, wrong)
        await renew_names(self._database, self._sink, project, sorted(versions))
        async with self._database.transaction(project) as conn:
            await deliveries.enqueue(conn, project, [self._sink.name], sorted(versions.items()))
            await rebuilds.advance(
                conn,
                self._sink.name,
                lease,
                step,
                state="sweeping" if end is None else "applying",
                after=end,
                queued=len(versions),
                removed=len(wrong),
            )
        self._wake()

    async def _sweep(self, lease: UUID, step: Step) -> None:
        removed = await self._sink.sweep(step.project)
        async with self._database.system() as conn:
            await rebuilds.advance(conn, self._sink.name, lease, step, state="draining", removed=removed)

    async def _drain(self, lease: UUID, step: Step) -> None:
        if not await rebuilds.drained(self._database, self._sink.name, step.project):
            await rebuilds.put_off(self._database, self._sink.name, lease, step, None, _WAIT)
            return
        async with self._database.system() as conn:
            await rebuilds.advance(conn, self._sink.name, lease, step, state="done")
        log.info("graph rebuilt", extra={"project": step.project})
