"""Reading what was known at a moment, once nothing can be recorded as of it any more."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from psycopg import sql

from memsys_api.store.counting import counted
from memsys_api.store.database import SNAPSHOT, Connection, Database

SETTLE_SECONDS = 5.0
_LOOK_SECONDS = 0.02


class Unsettled(Exception):
    """A transaction that began before a moment may still record something as of it."""


@asynccontextmanager
async def reading(database: Database, project: str, as_of: datetime | None) -> AsyncIterator[Connection]:
    """A transaction to read what was known at a moment, or is known now.

    What a transaction writes is recorded as of its start or later, and seen when it is committed. So the answer for a
    moment is the same for ever once the moment has come and all that began before it have ended. That is waited for,
    at most :data:`SETTLE_SECONDS`; then :class:`Unsettled` is raised. A moment that is further off is not waited for.
    """
    if as_of is not None:
        ends = time.monotonic() + SETTLE_SECONDS
        while await unfinished(database, as_of, within=timedelta(seconds=SETTLE_SECONDS)):
            if time.monotonic() > ends:
                raise Unsettled
            await asyncio.sleep(_LOOK_SECONDS)
    async with database.transaction(project) as conn:
        yield conn


async def unfinished(database: Database, before: datetime, *, within: timedelta | None = None) -> int:
    """How many transactions of this role began before then and may still record something as of before then.

    Not those of exports, which write nothing and take as long as their readers. For a time to come, the one that counts
    is such a one; none is for a time that is further off than ``within``. It is PostgreSQL's clock that tells, by which
    everything is recorded: this server's may be behind.
    """
    async with database.system() as conn:
        return await counted(
            conn,
            sql.SQL(
                """SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND usename = current_user AND xact_start <= %(before)s
                     AND application_name <> %(snapshot)s
                     AND (%(within)s::interval IS NULL OR %(before)s < clock_timestamp() + %(within)s)"""
            ),
            {"before": before, "within": within, "snapshot": SNAPSHOT},
        )
