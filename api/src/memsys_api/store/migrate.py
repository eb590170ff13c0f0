"""Brings the schema up to date: numbered SQL files, each in one transaction, by one replica at a time.

Every step takes the same transaction-level advisory lock first and looks again at what is applied, so any number
of replicas may run this at once, a crash leaves no half-applied step, and a transaction pooler does no harm.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from dataclasses import dataclass
from importlib import resources

import psycopg
from psycopg import sql

from memsys_api.store import audit
from memsys_api.store.database import Connection, connect, translated

log = logging.getLogger(__name__)

_LOCK = 0x6D656D737973  # "memsys"
_LOCK_SECONDS = 1
_BETWEEN_SECONDS = 2.0


class MigrationError(Exception):
    """The schema in the database does not fit this program; waiting will not mend it."""


@dataclass(frozen=True)
class Migration:
    """One file of ``migrations/``: ``NNNN_name.sql``."""

    number: int
    name: str
    script: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.script.encode()).hexdigest()


def load() -> list[Migration]:
    """The migrations this program carries, in order."""
    found = []
    for file in resources.files("memsys_api.store").joinpath("migrations").iterdir():
        if file.name.endswith(".sql"):
            number, name = file.name.removesuffix(".sql").split("_", 1)
            found.append(Migration(int(number), name, file.read_text()))
    return sorted(found, key=lambda migration: migration.number)


async def migrate(owner_url: str, app_role: str | None, migrations: list[Migration] | None = None) -> None:
    """Apply what is missing, then grant the serving role what it needs.

    ``app_role`` is ``None`` or the owner itself where only one role exists.
    Raises :class:`DatabaseUnavailable` and :class:`MigrationError`.
    """
    conn = await connect(owner_url)
    try:
        async with translated():
            await _lay_ledger(conn)
            for migration in load() if migrations is None else migrations:
                await _apply(conn, migration)
            async with conn.transaction():
                await locked(conn)
                await audit.attach(conn)
            await grant(conn, app_role)
    finally:
        await conn.close()


async def locked(conn: Connection) -> None:
    """Be the only one that changes the schema until this transaction ends."""
    await conn.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))


async def _lay_ledger(conn: Connection) -> None:
    async with conn.transaction():
        await locked(conn)
        await conn.execute("""
            CREATE TABLE IF NOT EXISTS schema_migrations (
                number     integer PRIMARY KEY,
                name       text NOT NULL,
                checksum   text NOT NULL,
                applied_at timestamptz NOT NULL DEFAULT now()
            )""")


async def _apply(conn: Connection, migration: Migration) -> None:
    """Apply one unless it is; while a table that it wants for itself is in use, again and again.

    Replicas of the release before are serving, and all that they ask of a table queues behind whoever waits to have it
    alone. An export may read one for as long as its reader takes, so that is not waited for.
    """
    name = f"{migration.number:04d}_{migration.name}"
    while True:
        try:
            return await _carry_out(conn, migration, name)
        except psycopg.errors.LockNotAvailable:
            log.warning("migration waits for a table that is in use, as by an export", extra={"migration": name})
        await asyncio.sleep(_BETWEEN_SECONDS)


async def _carry_out(conn: Connection, migration: Migration, name: str) -> None:
    async with conn.transaction():
        await locked(conn)
        cursor = await conn.execute("SELECT checksum FROM schema_migrations WHERE number = %s", (migration.number,))
        row = await cursor.fetchone()
        if row is not None:
            if row[0] != migration.checksum:
                raise MigrationError(
                    f"migration {name} was applied with other contents than this "
                    "release carries; run the release that applied it, or restore from a backup"
                )
            return
        log.info("applying migration", extra={"migration": name})
        await conn.execute("SELECT set_config('lock_timeout', %s, true)", (f"{_LOCK_SECONDS}s",))
        await conn.execute(migration.script)
        await conn.execute(
            "INSERT INTO schema_migrations (number, name, checksum) VALUES (%s, %s, %s)",
            (migration.number, migration.name, migration.checksum),
        )


async def grant(conn: Connection, app_role: str | None) -> None:
    """Give the serving role its rights on every table there is; a no-op where it owns them."""
    async with conn.transaction():
        await locked(conn)
        cursor = await conn.execute("SELECT current_user")
        row = await cursor.fetchone()
        if app_role is None or row == (app_role,):
            return
        role = sql.Identifier(app_role)
        cursor = await conn.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() AND tableowner = current_user"
        )
        for (table,) in await cursor.fetchall():
            rights = {
                "schema_migrations": "SELECT",
                "generations": "SELECT",
                "audit": "SELECT, INSERT",  # append-only
            }.get(table, "SELECT, INSERT, UPDATE, DELETE")
            await conn.execute(sql.SQL("GRANT {} ON {} TO {}").format(sql.SQL(rights), sql.Identifier(table), role))
        await conn.execute(sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(sql.Identifier(await _schema(conn)), role))
        await conn.execute(
            sql.SQL("GRANT USAGE ON ALL SEQUENCES IN SCHEMA {} TO {}").format(sql.Identifier(await _schema(conn)), role)
        )


async def _schema(conn: Connection) -> str:
    cursor = await conn.execute("SELECT current_schema()")
    row = await cursor.fetchone()
    assert row is not None
    return str(row[0])
