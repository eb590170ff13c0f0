"""The file behind the queue: SQLite, synchronised to disk with every commit. Blocking; knows no API and no caller."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

SCHEMA = """
CREATE TABLE IF NOT EXISTS salt (value BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS entries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    owner TEXT NOT NULL,
    address TEXT NOT NULL,
    request TEXT NOT NULL,
    idempotency_key TEXT NOT NULL UNIQUE,
    queued_at REAL NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    parked TEXT
);
CREATE INDEX IF NOT EXISTS of_owner ON entries (owner, id);
"""
_IN_PLACE = """owner = ?
    AND coalesce(json_extract(address, '$.project'), json_extract(address, '$.delegation.projects[0]')) IS ?
    AND json_extract(address, '$.delegation.user_id') IS ?"""
MAX_BYTES = 256 * 1024 * 1024
_FIELDS = "id, owner, address, request, idempotency_key, queued_at, attempts, parked"


class QueueUnusable(Exception):
    """The folder cannot hold a queue; the text says why and what to do."""


class QueueFull(Exception):
    """No further entry is taken."""


class QueueUnwritable(Exception):
    """The disk did not take an entry; the text says why."""


class Place(NamedTuple):
    """What of the file concerns one request: its caller's entries in its project, for the user it may act for."""

    owner: str
    project: str | None
    user_id: str | None


@dataclass(frozen=True, slots=True)
class Entry:
    """One add that waits. ``owner`` stands for its caller, ``parked`` is why it will not be tried again."""

    id: int
    owner: str
    address: Mapping[str, Any]
    """In which project, and on whose behalf."""
    request: Mapping[str, Any]
    idempotency_key: str
    queued_at: float
    """Seconds since 1970."""
    attempts: int
    parked: str | None


class QueueFile:
    """At most ``limit`` entries, in the order in which they came; parked ones count until they are dropped.

    Together they take no more than ``max_bytes`` on the disk, whatever each of them holds.
    """

    def __init__(self, folder: Path, limit: int, max_bytes: int = MAX_BYTES, *, shared: bool = False) -> None:
        """Open or make the queue in a folder that no other process uses, or none but such as want it ``shared``, too.

        Raises :class:`QueueUnusable`.
        """
        self._folder = folder
        self._shared = shared
        self._claims: dict[str, int] = {}
        self._limit = limit
        self._max_bytes = max_bytes
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = _locked(folder / "lock", fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
            path = folder / "writes.sqlite"
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            # Opened by one thread and then used by another, the queue's own.
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA synchronous = EXTRA")
            self._db.execute("PRAGMA secure_delete = ON")  # a removed entry's bytes are overwritten
            self._db.executescript(SCHEMA)
            with self._transaction():
                if self._db.execute("SELECT count(*) FROM salt").fetchone()[0] == 0:
                    self._db.execute("INSERT INTO salt VALUES (?)", (secrets.token_bytes(32),))
            self.salt: bytes = self._db.execute("SELECT value FROM salt").fetchone()[0]
        except BlockingIOError:
            raise QueueUnusable(
                f"MEMSYS_MCP_QUEUE_DIR: {folder} is in use by another server; give each one a folder of its own"
            ) from None
        except (OSError, sqlite3.Error) as error:
            raise QueueUnusable(f"MEMSYS_MCP_QUEUE_DIR: {folder} cannot hold the queue: {error}") from error

    def put(self, owner: str, address: Mapping[str, Any], request: Mapping[str, Any], idempotency_key: str) -> int:
        """Keep an entry; its number. It is on disk when this returns.

        Raises :class:`QueueFull` and :class:`QueueUnwritable`; then nothing of it is kept.
        """
        text = json.dumps(request)
        try:
            with self._transaction():
                if self._db.execute("SELECT count(*) FROM entries").fetchone()[0] >= self._limit:
                    raise QueueFull
                if self._bytes() + len(text) > self._max_bytes:
                    raise QueueFull
                cursor = self._db.execute(
                    "INSERT INTO entries (owner, address, request, idempotency_key, queued_at) VALUES (?, ?, ?, ?, ?)",
                    (owner, json.dumps(address), text, idempotency_key, time.time()),
                )
        except sqlite3.Error as error:
            raise QueueUnwritable(_why(error)) from error
        assert cursor.lastrowid is not None, "an insert has a row"
        return cursor.lastrowid

    def claim(self, owner: str) -> bool:
        """Whether this process may send an owner's entries: of those that share the file, one at a time may.

        It may until it releases them, or ends. What it read of them before is not to be relied on.
        """
        if self._shared and owner not in self._claims:
            try:
                self._claims[owner] = _locked(self._folder / f"sender-{owner}", fcntl.LOCK_EX)
            except BlockingIOError:
                return False
        return True

    def release(self, owner: str) -> None:
        """Leave what an owner adds from now on to whichever process claims it."""
        if (claim := self._claims.pop(owner, None)) is not None:
            os.close(claim)

    def next_of(self, owner: str) -> Entry | None:
        """The oldest entry of an owner that is not parked."""
        found = self._entries("WHERE owner = ? AND parked IS NULL ORDER BY id LIMIT 1", (owner,))
        return found[0] if found else None

    def owners(self) -> list[str]:
        """Whose entries wait, the longest waiting first."""
        rows = self._db.execute("SELECT owner FROM entries WHERE parked IS NULL GROUP BY owner ORDER BY min(id)")
        return [owner for (owner,) in rows]

    def first_in(self, place: Place, limit: int) -> list[Entry]:
        """What is kept for a place: parked entries, which nothing is done about, and then the longest waiting."""
        return self._entries(f"WHERE {_IN_PLACE} ORDER BY parked IS NULL, id LIMIT ?", (*place, limit))

    def one_in(self, place: Place, entry_id: int) -> Entry | None:
        """The entry of a number, if it is kept for the place."""
        found = self._entries(f"WHERE {_IN_PLACE} AND id = ?", (*place, entry_id))
        return found[0] if found else None

    def counts(self, place: Place | None = None) -> tuple[int, int]:
        """How many wait, and how many are parked: in one place, or in all."""
        where, values = ("true", ()) if place is None else (_IN_PLACE, place)
        rows = self._db.execute(f"SELECT parked IS NULL, count(*) FROM entries WHERE {where} GROUP BY 1", values)  # noqa: S608
        found = dict(rows.fetchall())
        return found.get(1, 0), found.get(0, 0)

    def remove(self, entry_id: int) -> None:
        """Forget an entry that was stored."""
        self._db.execute("DELETE FROM entries WHERE id = ?", (entry_id,))

    def failed(self, entry_id: int) -> None:
        """Count an attempt that the service could not carry out."""
        self._db.execute("UPDATE entries SET attempts = attempts + 1 WHERE id = ?", (entry_id,))

    def park(self, entry_id: int, reason: str) -> None:
        """Set an entry aside, so that it holds up nothing."""
        self._db.execute("UPDATE entries SET parked = ? WHERE id = ?", (reason, entry_id))

    def drop_older(self, seconds: float) -> int:
        """Forget what was queued longer ago than this, whatever it waits for; how many."""
        oldest = time.time() - seconds
        return self._db.execute("DELETE FROM entries WHERE queued_at < ?", (oldest,)).rowcount

    def close(self) -> None:
        self._db.close()
        for owner in list(self._claims):
            self.release(owner)
        os.close(self._lock)

    def _bytes(self) -> int:
        """What the entries take on the disk, without the pages that were left free when others were removed."""
        pages, free, size = (
            self._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * size)

    def _entries(self, where: str, values: Sequence[Any]) -> list[Entry]:
        rows = self._db.execute(f"SELECT {_FIELDS} FROM entries {where}", values)  # noqa: S608
        return [
            Entry(identity, owner, json.loads(address), json.loads(request), key, queued_at, attempts, parked)
            for identity, owner, address, request, key, queued_at, attempts, parked in rows
        ]

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:  # SQLite itself rolls back what finds the disk full
                self._db.execute("ROLLBACK")
            raise


def _locked(path: Path, kind: int) -> int:
    """A file that is locked as long as it is open. Raises :class:`BlockingIOError` where another process has it."""
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        raise
    return file


def _why(error: sqlite3.Error) -> str:
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
        return "the queue's disk is full"
    return f"the queue cannot be written ({error})"
