"""What of removed rows PostgreSQL still holds physically: clears what can be cleared, and says what cannot."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import psycopg
from psycopg import sql

from memsys_api.store.database import Database, connect, translated

_LEFT = re.compile(r"(\d+) are dead but not yet removable")


@dataclass(frozen=True)
class Vacuumed:
    """What a vacuum of some tables has come to."""

    tables: int
    refused: tuple[str, ...]
    """Tables that the role may not vacuum: autovacuum gets to them."""
    kept: int
    """Dead rows that it could not remove, because an older transaction may still read them."""


@dataclass(frozen=True)
class WriteAheadLog:
    """How long the server keeps its log of changes by itself."""

    checkpoint: timedelta
    """The longest time between two checkpoints, after the second of which segments are reused."""
    archived: bool
    """Whether segments are also copied elsewhere."""


async def vacuum(owner_url: str, tables: Sequence[str]) -> Vacuumed:
    """Vacuum tables as their owner, one after the other. Raises :class:`DatabaseUnavailable`."""
    conn = await connect(owner_url)
    said: list[str] = []
    conn.add_notice_handler(lambda diagnostic: said.append(diagnostic.message_primary or ""))
    refused = []
    try:
        async with translated():
            for table in tables:
                before = len(said)
                await conn.execute(sql.SQL("VACUUM (VERBOSE, INDEX_CLEANUP ON) {}").format(sql.Identifier(table)))
                if any("skipping" in message or "permission denied" in message for message in said[before:]):
                    refused.append(table)
    except psycopg.errors.InsufficientPrivilege:
        refused.append(table)
    finally:
        await conn.close()
    kept = sum(int(number) for message in said for number in _LEFT.findall(message))
    return Vacuumed(len(tables) - len(refused), tuple(refused), kept)


async def write_ahead_log(database: Database) -> WriteAheadLog:
    """Read the server's settings."""
    async with database.system() as conn:
        cursor = await conn.execute(
            """SELECT current_setting('checkpoint_timeout')::interval, current_setting('archive_mode') <> 'off'"""
        )
        row = await cursor.fetchone()
    assert row is not None
    return WriteAheadLog(*row)
