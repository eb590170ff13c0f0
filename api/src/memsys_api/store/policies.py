"""Reads and writes each project's policy document, behind the wall."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from memsys_api.store.database import Database


@dataclass(frozen=True)
class StoredPolicy:
    """A project's policy as it was set."""

    policy: dict[str, Any]
    updated_at: datetime
    updated_by: str


async def find(database: Database, project: str) -> StoredPolicy | None:
    """The project's policy; ``None``: none was ever set."""
    async with database.transaction(project) as conn:
        cursor = await conn.execute(
            "SELECT policy, updated_at, updated_by FROM policies WHERE project = %s", (project,)
        )
    row = await cursor.fetchone()
    return None if row is None else StoredPolicy(*row)


async def put(database: Database, project: str, policy: dict[str, Any], actor: str) -> StoredPolicy:
    """Set the project's policy as a whole."""
    async with database.transaction(project) as conn:
        cursor = await conn.execute(
            """INSERT INTO policies (project, policy, updated_by) VALUES (%s, %s, %s)
               ON CONFLICT (project) DO UPDATE
               SET policy = EXCLUDED.policy, updated_by = EXCLUDED.updated_by, updated_at = now()
               RETURNING policy, updated_at, updated_by""",
            (project, Jsonb(policy), actor),
        )
    row = await cursor.fetchone()
    assert row is not None
    return StoredPolicy(*row)
