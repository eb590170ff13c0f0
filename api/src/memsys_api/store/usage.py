"""What the language model has cost each project on each day, UTC, on all replicas together."""

from __future__ import annotations

from memsys_api.store.database import Database


async def today(database: Database, project: str) -> int:
    """Tokens used today."""
    async with database.transaction(project) as conn:
        cursor = await conn.execute(
            "SELECT tokens FROM llm_usage WHERE project = %s AND day = (now() AT TIME ZONE 'UTC')::date", (project,)
        )
    row = await cursor.fetchone()
    return 0 if row is None else int(row[0])


async def add(database: Database, project: str, tokens: int, calls: int) -> None:
    """Count what was used just now."""
    async with database.transaction(project) as conn:
        await conn.execute(
            """INSERT INTO llm_usage (project, day, tokens, calls)
               VALUES (%s, (now() AT TIME ZONE 'UTC')::date, %s, %s)
               ON CONFLICT (project, day) DO UPDATE
               SET tokens = llm_usage.tokens + EXCLUDED.tokens, calls = llm_usage.calls + EXCLUDED.calls""",
            (project, tokens, calls),
        )
