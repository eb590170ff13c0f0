"""What a changed name makes due: every memory that speaks of the entity, not only the one that brought the name."""

from __future__ import annotations

from memsys_api.store import merges
from memsys_api.store.database import Database


async def announce(database: Database, sink: str, project: str) -> int:
    """Make due at a sink whatever speaks of entities that were renamed since this was last asked; says how many.

    To be asked before memories of the project are read for the sink. The memory that brought a name may say something
    else, or be gone, by the time that it is delivered, so that others have to carry the name. The write that renames
    cannot see those that are being written beside it, and they may be delivered under the old name before it commits.
    But it makes its own memory due, and whoever delivers that sees all of them.
    """
    async with database.transaction(project) as conn:
        cursor = await conn.execute(
            """WITH renamed AS (
                   SELECT key FROM entities WHERE project = %(project)s AND renamed
                   ORDER BY key FOR UPDATE SKIP LOCKED
               )
               UPDATE entities e SET renamed = false FROM renamed
               WHERE e.project = %(project)s AND e.key = renamed.key RETURNING e.key""",
            {"project": project},
        )
        keys = [row[0] for row in await cursor.fetchall()]
        if not keys:
            return 0
        names = await merges.names_of(conn, project, keys)
        return len(await merges.enqueue_speaking_of(conn, project, [sink], names))
