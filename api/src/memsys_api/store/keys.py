"""Reads and writes API keys."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from memsys_api.store.database import Database


@dataclass(frozen=True)
class StoredKey:
    """A key as it stands in the table. The secret itself is nowhere."""

    id: str
    secret_hash: str
    name: str
    projects: list[str]
    default_project: str
    user_id: str | None
    agent_id: str | None
    rights: list[str]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


_COLUMNS = (
    "id, secret_hash, name, projects, default_project, user_id, agent_id, rights, created_at, expires_at, revoked_at"
)


async def find(database: Database, key_id: str) -> StoredKey | None:
    """A key by its public id, revoked or not."""
    async with database.system() as conn:
        cursor = await conn.execute(f"SELECT {_COLUMNS} FROM keys WHERE id = %s", (key_id,))  # noqa: S608
    row = await cursor.fetchone()
    return None if row is None else StoredKey(*row)


async def insert(
    database: Database,
    *,
    key_id: str,
    secret_hash: str,
    name: str,
    projects: list[str],
    default_project: str,
    user_id: str | None,
    agent_id: str | None,
    rights: list[str],
    expires_at: datetime | None,
) -> StoredKey:
    """Store a new key."""
    async with database.system() as conn:
        cursor = await conn.execute(
            f"""INSERT INTO keys (
                    id, secret_hash, name, projects, default_project, user_id, agent_id, rights, expires_at)
                VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING {_COLUMNS}""",  # noqa: S608
            (key_id, secret_hash, name, projects, default_project, user_id, agent_id, rights, expires_at),
        )
    row = await cursor.fetchone()
    assert row is not None
    return StoredKey(*row)


async def live(database: Database, within: list[str] | None) -> list[StoredKey]:
    """Keys that are not revoked, oldest first; ``within``: only those all of whose projects are among these."""
    async with database.system() as conn:
        cursor = await conn.execute(
            f"""SELECT {_COLUMNS} FROM keys
                WHERE revoked_at IS NULL AND (%(within)s::text[] IS NULL OR projects <@ %(within)s)
                ORDER BY created_at, id""",  # noqa: S608
            {"within": within},
        )
    return [StoredKey(*row) for row in await cursor.fetchall()]


async def revoke(database: Database, key_id: str, within: list[str] | None) -> bool:
    """End a key for good; ``False``: there is no such live key."""
    async with database.system() as conn:
        cursor = await conn.execute(
            """UPDATE keys SET revoked_at = now()
               WHERE id = %(id)s AND revoked_at IS NULL AND (%(within)s::text[] IS NULL OR projects <@ %(within)s)""",
            {"id": key_id, "within": within},
        )
    return cursor.rowcount == 1
