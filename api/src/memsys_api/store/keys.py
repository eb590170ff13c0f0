"""Reads and writes API keys."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from memsys_api.store.database import Connection, Database

MOST_SECRETS = 5
"""Secrets of one key that a rotation leaves valid; the oldest end first."""


@dataclass(frozen=True)
class StoredSecret:
    """What is kept of a secret: its hash, and until when it is accepted."""

    sha256: str
    expires_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Grant:
    """What a key allows."""

    name: str
    projects: list[str]
    default_project: str
    rights: list[str]
    user_id: str | None = None
    agent_id: str | None = None
    app_id: str | None = None
    run_id: str | None = None
    expires_at: datetime | None = None
    requests_per_minute: int | None = None
    subject: str | None = None


@dataclass(frozen=True)
class StoredKey:
    """A key as it stands in the table. Its secrets themselves are nowhere."""

    id: str
    secrets: tuple[StoredSecret, ...]
    created_at: datetime
    revoked_at: datetime | None
    grant: Grant

    def live(self, now: datetime) -> bool:
        """Whether it is neither revoked nor expired."""
        return self.revoked_at is None and (self.grant.expires_at is None or self.grant.expires_at > now)


class SubjectTaken(Exception):
    """Another live key stands for this subject."""


GRANTED = tuple(Grant.__dataclass_fields__)
_COLUMNS = sql.SQL(", ").join(map(sql.Identifier, ("id", "secrets", "created_at", "revoked_at", *GRANTED)))
_ANEW = sql.SQL(", ").join(
    sql.SQL("{0} = EXCLUDED.{0}").format(sql.Identifier(column)) for column in ("secrets", *GRANTED)
)

_OR_FAIL = sql.SQL("")


async def find(database: Database, key_id: str) -> StoredKey | None:
    """A key by its public id, revoked or not."""
    async with database.system() as conn:
        return await _read(conn, sql.SQL("id = %s"), key_id)


async def find_subject(database: Database, subject: str) -> StoredKey | None:
    """The key that stands for a Kubernetes ServiceAccount, unless it is revoked."""
    async with database.system() as conn:
        return await _read(conn, sql.SQL("subject = %s AND revoked_at IS NULL"), subject)


async def insert(database: Database, key_id: str, grant: Grant, secrets: Sequence[StoredSecret]) -> StoredKey:
    """Store a new key."""
    async with database.system() as conn:
        return await _write(conn, key_id, grant, secrets)


async def declare(database: Database, key_id: str, grant: Grant, secrets: Sequence[StoredSecret]) -> StoredKey | None:
    """Make a key be exactly this, whether or not it was there; ``None``: it is revoked, for good.

    Raises :class:`SubjectTaken`.
    """
    try:
        async with database.system() as conn:
            before = await _read(conn, sql.SQL("id = %s FOR UPDATE"), key_id)
            if before is not None and before.revoked_at is not None:
                return None
            return await _write(
                conn, key_id, grant, secrets, sql.SQL("ON CONFLICT (id) DO UPDATE SET {}").format(_ANEW)
            )
    except psycopg.errors.UniqueViolation as error:
        raise SubjectTaken from error


async def rotate(
    database: Database, key_id: str, sha256: str, overlap: timedelta, allowed: Callable[[StoredKey], bool]
) -> StoredKey | None:
    """Give a live key a new secret; the ones before end after the overlap at the latest.

    ``None``: there is no such key among the allowed ones.
    """
    async with database.system() as conn:
        key = await _held(conn, key_id, allowed)
        if key is None:
            return None
        now = datetime.now(UTC)
        end = now + overlap
        ended = [min(s.expires_at or end, end) for s in key.secrets]
        kept = [StoredSecret(s.sha256, at) for s, at in zip(key.secrets, ended, strict=True) if at > now]
        secrets = [StoredSecret(sha256), *kept[: MOST_SECRETS - 1]]
        cursor = await conn.execute(
            sql.SQL("UPDATE keys SET secrets = %s WHERE id = %s RETURNING {}").format(_COLUMNS),
            (_to_json(secrets), key_id),
        )
        return _key(await cursor.fetchone())


async def live(database: Database, within: list[str] | None) -> list[StoredKey]:
    """Keys that are not revoked, oldest first; ``within``: only those all of whose projects are among these."""
    async with database.system() as conn:
        cursor = await conn.execute(
            sql.SQL(
                """SELECT {} FROM keys
                   WHERE revoked_at IS NULL AND (%(within)s::text[] IS NULL OR projects <@ %(within)s)
                   ORDER BY created_at, id"""
            ).format(_COLUMNS),
            {"within": within},
        )
        rows = await cursor.fetchall()
    return [key for row in rows if (key := _key(row))]


async def revoke(database: Database, key_id: str, allowed: Callable[[StoredKey], bool]) -> bool:
    """End a key for good; ``False``: there is no such live key among the allowed ones."""
    async with database.system() as conn:
        if await _held(conn, key_id, allowed) is None:
            return False
        await conn.execute("UPDATE keys SET revoked_at = now() WHERE id = %s", (key_id,))
    return True


async def _held(conn: Connection, key_id: str, allowed: Callable[[StoredKey], bool]) -> StoredKey | None:
    """Lock a key that is not revoked, if it is an allowed one; others take as long as those that never were."""
    key = await _read(conn, sql.SQL("id = %s AND revoked_at IS NULL"), key_id)
    if key is None or not allowed(key):
        return None
    key = await _read(conn, sql.SQL("id = %s AND revoked_at IS NULL FOR UPDATE"), key_id)
    return key if key is not None and allowed(key) else None


async def _read(conn: Connection, where: sql.SQL, value: str) -> StoredKey | None:
    cursor = await conn.execute(sql.SQL("SELECT {} FROM keys WHERE {}").format(_COLUMNS, where), (value,))
    return _key(await cursor.fetchone())


async def _write(
    conn: Connection,
    key_id: str,
    grant: Grant,
    secrets: Sequence[StoredSecret],
    otherwise: sql.Composable = _OR_FAIL,
) -> StoredKey:
    values: dict[str, Any] = {"id": key_id, "secrets": _to_json(secrets)}
    values |= {column: getattr(grant, column) for column in GRANTED}
    columns = sql.SQL(", ").join(map(sql.Identifier, values))
    places = sql.SQL(", ").join(map(sql.Placeholder, values))
    statement = sql.SQL("INSERT INTO keys ({}) VALUES ({}) {} RETURNING {}")
    cursor = await conn.execute(statement.format(columns, places, otherwise, _COLUMNS), values)
    key = _key(await cursor.fetchone())
    assert key is not None
    return key


def _key(row: tuple[Any, ...] | None) -> StoredKey | None:
    if row is None:
        return None
    key_id, secrets, created_at, revoked_at, *granted = row
    return StoredKey(
        key_id,
        tuple(StoredSecret(s["sha256"], _moment(s["expires_at"])) for s in secrets),
        created_at,
        revoked_at,
        Grant(**dict(zip(GRANTED, granted, strict=True))),
    )


def _to_json(secrets: Sequence[StoredSecret]) -> Jsonb:
    return Jsonb(
        [{"sha256": s.sha256, "expires_at": s.expires_at.isoformat() if s.expires_at else None} for s in secrets]
    )


def _moment(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value)
