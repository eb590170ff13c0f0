"""How many rows a statement finds, or changes."""

from __future__ import annotations

from psycopg import sql

from memsys_api.store.database import Connection

Counts = dict[str, int]
"""Rows by table."""


def changed(statement: sql.Composable) -> sql.Composable:
    """A statement that counts the rows which another one changes."""
    return sql.SQL("WITH changed AS ({} RETURNING 1) SELECT count(*) FROM changed").format(statement)


async def counted(conn: Connection, statement: sql.Composable, parameters: object) -> int:
    """The one number that a statement answers."""
    cursor = await conn.execute(statement, parameters)  # type: ignore[call-overload]
    row = await cursor.fetchone()
    assert row is not None
    return int(row[0])
