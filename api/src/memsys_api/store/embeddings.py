"""The embeddings of the active generation, as a projection is made from them."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import numpy as np
from psycopg import sql

from memsys_api.model import Embedded, Scope
from memsys_api.store.database import Database
from memsys_api.store.generations import Generation


class Embeddings:
    """Reads one generation's embeddings."""

    def __init__(self, database: Database, generation: Generation) -> None:
        self._database = database
        self._generation = generation

    async def newest(self, project: str, ids: Sequence[UUID]) -> dict[UUID, Embedded]:
        """The newest versions of those of these memories that are alive, with their embeddings."""
        statement = sql.SQL(
            """SELECT memory_id, version, user_id, agent_id, app_id, run_id, embedding::real[] FROM {}
               WHERE project = %s AND head AND memory_id = ANY(%s)"""
        ).format(self._generation.table)
        async with self._database.transaction(project) as conn:
            cursor = await conn.execute(statement, (project, list(ids)), binary=True)
            rows = await cursor.fetchall()
        return {
            row[0]: Embedded(row[0], row[1], Scope(project, *row[2:6]), np.array(row[6], np.float32)) for row in rows
        }

    async def count(self, project: str) -> int:
        """How many memories of a project are alive and have an embedding."""
        statement = sql.SQL("SELECT count(*) FROM {} WHERE project = %s AND head").format(self._generation.table)
        async with self._database.transaction(project) as conn:
            cursor = await conn.execute(statement, (project,))
            row = await cursor.fetchone()
        assert row is not None
        return int(row[0])
