"""The connection pool, and transactions that stand behind the project wall."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from pgvector.psycopg import register_vector_async
from psycopg import AsyncConnection, IsolationLevel
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool, PoolTimeout, TooManyRequests

from memsys_api import acting, background, logs, telemetry
from memsys_api.causes import cause, in_one_line

log = logging.getLogger(__name__)

Connection = AsyncConnection[TupleRow]

_SPAN = {"db.system.name": "postgresql"}
# Connection, authorisation, no such database, resources, operator intervention: none of them is about a value.
_OF_THE_SERVER = frozenset({"08", "28", "3D", "53", "57"})
_LIMIT = "54"  # program limit exceeded: psycopg counts it among the operational errors, and it is about a value
_CONNECT_SECONDS = 3
_CHECK_SECONDS = 15
_RECHECK_SECONDS = 0.5
SNAPSHOT = "memsys-snapshot"
"""What transactions that only read, for as long as their reader takes, are called in pg_stat_activity."""
_UNHURRIED = f"""
    SELECT set_config('idle_in_transaction_session_timeout', '5min', true), set_config('TimeZone', 'UTC', true),
           set_config('application_name', '{SNAPSHOT}', true)"""  # own constant
# A peer that vanished without a word is noticed within seconds, not after the kernel's two hours.
_SOCKET = {
    "connect_timeout": _CONNECT_SECONDS,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 2,
    "tcp_user_timeout": 5000,
}
# The same for the server's end, which would otherwise keep the open transaction, and its locks, of a replica that
# vanished without a word. A pooler in between may keep these: they do no harm to others.
_SERVER_SOCKET = """
    SELECT set_config('tcp_keepalives_idle', '5', false), set_config('tcp_keepalives_interval', '2', false),
           set_config('tcp_keepalives_count', '2', false), set_config('tcp_user_timeout', '5000', false)"""


class DatabaseUnavailable(Exception):
    """PostgreSQL does not answer, or broke the connection; the same call may succeed later."""


class StatementTimeout(Exception):
    """A statement ran longer than it may."""


class LimitExceeded(Exception):
    """A value or statement is larger than PostgreSQL takes; the same one will be so again."""


@asynccontextmanager
async def translated() -> AsyncIterator[None]:
    """Turn psycopg's errors of connection, time and size into this room's own."""
    try:
        yield
    except (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout, TooManyRequests) as error:
        # A cancelled task cancels its statement, and may see only the statement's error of that: it is cancelled
        # all the same. Otherwise a stop or a time-out would pass unnoticed.
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise asyncio.CancelledError from error
        if isinstance(error, psycopg.errors.QueryCanceled):
            raise StatementTimeout(cause(error)) from error
        if isinstance(error, psycopg.Error) and (error.sqlstate or "").startswith(_LIMIT):
            where = f" for {error.diag.constraint_name} of {error.diag.table_name}" if error.diag.table_name else ""
            raise LimitExceeded(f"too large{where} (SQLSTATE {error.sqlstate})") from error
        raise DatabaseUnavailable(_said(error)) from error


def _said(error: Exception) -> str:
    """What may be repeated of psycopg's error, on one line.

    The words of libpq about a connection, and of the server about itself, name hosts, roles and states. Those about
    a statement may quote its values.
    """
    state = getattr(error, "sqlstate", None)
    if isinstance(error, psycopg.Error) and state is not None and state[:2] in _OF_THE_SERVER:
        return f"{error.diag.message_primary} (SQLSTATE {state})"
    of_connecting = isinstance(error, psycopg.OperationalError) and type(error).__module__ == "psycopg"
    if isinstance(error, PoolTimeout | TooManyRequests) or (of_connecting and state is None):
        return in_one_line(error)
    return cause(error)


async def _configure(conn: Connection) -> None:
    await conn.execute(_SERVER_SOCKET)
    await register_vector_async(conn)


def address(url: str) -> str:
    """Where a URL leads: each server's host and port, nothing else of it. Never raises."""
    try:
        said = conninfo_to_dict(url)
    except psycopg.Error:
        return "the address of its URL, which cannot be read,"
    hosts = str(said.get("host") or said.get("hostaddr") or "the local socket").split(",")
    ports = str(said.get("port") or "").split(",")
    each = ports if len(ports) == len(hosts) else ports[:1] * len(hosts)
    return ", ".join(f"{host}:{port or 5432}" for host, port in zip(hosts, each, strict=True))


async def connect(url: str, *, autocommit: bool = True) -> Connection:
    """One connection outside the pool. Raises :class:`DatabaseUnavailable`."""
    async with translated():
        conn = await AsyncConnection.connect(url, autocommit=True, **_SOCKET)  # type: ignore[arg-type]
        await conn.execute(_SERVER_SOCKET)
        await conn.set_autocommit(autocommit)
        return conn


class Database:
    """The pool of the serving role. Recovers by itself within seconds of PostgreSQL's return."""

    def __init__(self, url: str, *, size: int, timeout: float, prepare: bool = True) -> None:
        self._url = url
        self._timeout = timeout
        self._statement_timeout = f"{int(timeout * 1000)}ms"
        self._tasks = background.Tasks()
        self._suspect = asyncio.Event()
        kwargs: dict[str, Any] = {"autocommit": True, **_SOCKET}
        if not prepare:
            kwargs["prepare_threshold"] = None
        # After reconnect_timeout the pool gives an attempt up and the next caller starts one at once; a long
        # time-out would have it wait out an exponential back-off after the database has returned.
        self._pool = AsyncConnectionPool(
            url,
            min_size=2,
            max_size=size,
            kwargs=kwargs,
            timeout=timeout,
            max_waiting=size * 50,
            reconnect_timeout=2,
            configure=_configure,
            open=False,
            name="memsys",
        )

    async def open(self) -> None:
        """Open the pool; :meth:`ping` tells whether it reaches the database."""
        await self._pool.open()
        self._tasks.start(self._watch(), "database-watch")

    async def close(self) -> None:
        await self._tasks.end()
        await self._pool.close()

    async def _watch(self) -> None:
        """Replace connections that a restarted server has closed: at once when one was found so, else now and then."""
        while not self._tasks.stopping.is_set():  # the pool's check may swallow a cancellation
            await background.wait(self._suspect, _CHECK_SECONDS)
            self._suspect.clear()
            try:
                async with asyncio.timeout(_CONNECT_SECONDS):
                    await self._pool.check()
                await self.ping()
            except Exception as error:
                reason = str(error) if isinstance(error, DatabaseUnavailable) else _said(error)
                log.warning("database does not answer", extra={"reason": reason})
                self._suspect.set()
                await asyncio.sleep(_RECHECK_SECONDS)

    @asynccontextmanager
    async def _connection(self, seconds: float | None = None) -> AsyncIterator[Connection]:
        try:
            async with translated(), self._pool.connection(timeout=seconds) as conn:
                yield conn
        except DatabaseUnavailable:
            self._suspect.set()
            raise

    async def ping(self, seconds: float = 2) -> None:
        """One round trip, waiting this long for a connection. Raises :class:`DatabaseUnavailable`."""
        async with self._connection(seconds) as conn:
            await conn.execute("SELECT 1")

    def stats(self) -> dict[str, int]:
        """The pool's counters, by psycopg_pool's names."""
        return self._pool.get_stats()

    @asynccontextmanager
    async def transaction(self, project: str) -> AsyncIterator[Connection]:
        """A transaction behind the wall of one project.

        The project is set with the transaction's own first message, so it costs no round trip, cannot outlive
        the transaction and is safe behind a transaction pooler.
        Raises :class:`DatabaseUnavailable`, :class:`StatementTimeout`, :class:`LimitExceeded`.
        """
        # Statements on a connection in pipeline mode are sent together; results are waited for on fetch.
        with telemetry.span("postgresql", **_SPAN):
            async with self._connection() as conn, conn.pipeline(), conn.transaction():
                await self._begin(conn, project)
                yield conn

    @asynccontextmanager
    async def snapshot(self, project: str) -> AsyncIterator[Connection]:
        """A transaction behind the wall that sees one moment and writes nothing, on a connection of its own.

        For what takes long: it keeps none of the pool's connections from others, and PostgreSQL ends it when it
        is not asked for anything for minutes. Times are read in UTC.
        Raises :class:`DatabaseUnavailable`, :class:`StatementTimeout`.
        """
        conn = await connect(self._url, autocommit=False)
        try:
            async with translated():
                conn.prepare_threshold = None
                await conn.set_isolation_level(IsolationLevel.REPEATABLE_READ)
                await conn.set_read_only(True)
                await self._begin(conn, project)
                await conn.execute(_UNHURRIED)
                yield conn
        finally:
            await conn.close()

    @asynccontextmanager
    async def system(self) -> AsyncIterator[Connection]:
        """A transaction on tables that hold no tenant content; behind the wall nothing is seen.

        Raises :class:`DatabaseUnavailable`, :class:`StatementTimeout`.
        """
        with telemetry.span("postgresql", **_SPAN):
            async with self._connection() as conn, conn.pipeline(), conn.transaction():
                await self._begin(conn, "")
                yield conn

    async def _begin(self, conn: Connection, project: str) -> None:
        """Say in whose project and on whose behalf this transaction is; the audit trail is written from that."""
        await conn.execute(
            """SELECT set_config('memsys.project', %s, true), set_config('memsys.actor', %s, true),
                      set_config('memsys.request_id', %s, true), set_config('statement_timeout', %s, true)""",
            (project, acting.actor.get(), logs.request_id.get() or "", self._statement_timeout),
        )
