"""The rate limits' token buckets: one row each, the one truth for all replicas."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from memsys_api.store.database import Database

KEPT = timedelta(days=1)
"""A bucket unused for so long is full, and as good as none."""


@dataclass(frozen=True)
class Leased:
    """What a replica got out of a bucket, and what is left in it."""

    granted: int
    left: float


async def lease(
    database: Database, bucket: str, *, per_second: float, burst: float, wanted: int, returned: int
) -> Leased:
    """Put back what is not used and take up to so many tokens; a bucket that was never used is full.

    Raises :class:`DatabaseUnavailable`, :class:`StatementTimeout`.
    """
    parameters = {
        "bucket": bucket, "rate": per_second, "burst": burst, "wanted": wanted, "returned": returned,
    }  # fmt: skip
    while True:
        async with database.system() as conn:
            # The row is locked by the first part, so that what is computed from it is of the newest version.
            cursor = await conn.execute(
                """
                WITH held AS (
                    SELECT bucket, least(%(burst)s, tokens + %(returned)s + %(rate)s
                        * greatest(0, extract(epoch FROM clock_timestamp() - filled_at)::float8)) AS available
                    FROM rate_buckets WHERE bucket = %(bucket)s FOR UPDATE
                ), granting AS (
                    SELECT bucket, available, greatest(0, least(%(wanted)s, floor(available))) AS granted FROM held
                )
                UPDATE rate_buckets b SET tokens = g.available - g.granted, filled_at = clock_timestamp()
                FROM granting g WHERE b.bucket = g.bucket RETURNING g.granted, b.tokens
                """,
                parameters,
            )
            row = await cursor.fetchone()
            if row is not None:
                return Leased(int(row[0]), row[1])
            await conn.execute(
                """INSERT INTO rate_buckets (bucket, tokens, filled_at) VALUES (%(bucket)s, %(burst)s, now())
                   ON CONFLICT (bucket) DO NOTHING""",
                parameters,
            )


async def sweep(database: Database) -> int:
    """Forget buckets that are full by now; says how many."""
    async with database.system() as conn:
        cursor = await conn.execute("DELETE FROM rate_buckets WHERE filled_at < now() - %s", (KEPT,))
    return cursor.rowcount
