"""Everything that PostgreSQL holds, as text: tables as the superuser sees them, and the files on the disk."""

from __future__ import annotations

import subprocess
from pathlib import Path

import psycopg
from psycopg import sql

from .postgres import BIN, Server


def tables(url: str) -> dict[str, list[str]]:
    """Every row of every table of the database, each as one lower-case string."""
    with psycopg.connect(url) as conn:
        names = conn.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        return {
            name: [
                str(row[0]).lower()
                for row in conn.execute(sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(name)))
            ]
            for (name,) in names
        }


def dumped(server: Server, database: str) -> str:
    """The database as pg_dump writes it."""
    command = [BIN / "pg_dump", "--dbname", server.url("postgres", database)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def holding(url: str, mark: str) -> dict[str, int]:
    """In how many rows of which tables a mark stands."""
    counts = {name: sum(mark.lower() in row for row in rows) for name, rows in tables(url).items()}
    return {name: count for name, count in counts.items() if count}


def files_with(url: str, data: Path, mark: str) -> list[str]:
    """The files of the database's tables and indexes in which a mark stands, after they were written anew."""
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("VACUUM FULL")
        conn.execute("CHECKPOINT")
        row = conn.execute("SELECT oid FROM pg_database WHERE datname = current_database()").fetchone()
        assert row is not None
        folder = data / "base" / str(row[0])
        return [file.name for file in folder.iterdir() if mark.lower().encode() in file.read_bytes().lower()]
