"""Generations of embeddings: which model's vectors the database holds, each in a table of its own."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql

from memsys_api.store.database import connect, translated
from memsys_api.store.migrate import grant, locked


class EmbedderMismatch(Exception):
    """The configured embedder is not the one whose vectors are stored; waiting will not mend it."""


@dataclass(frozen=True)
class Generation:
    """One model's vectors: the table ``embeddings_<id>``, of type halfvec or vector."""

    id: int
    provider: str
    model: str
    dimensions: int
    precision: str

    @property
    def table(self) -> sql.Identifier:
        return sql.Identifier(f"embeddings_{self.id}")

    @property
    def type(self) -> sql.SQL:
        return sql.SQL("halfvec" if self.precision == "halfvec" else "vector")

    @property
    def indexable(self) -> bool:
        """Whether pgvector can index vectors of this many dimensions."""
        return self.dimensions <= (4000 if self.precision == "halfvec" else 2000)

    @property
    def operators(self) -> sql.SQL:
        return sql.SQL("halfvec_cosine_ops" if self.precision == "halfvec" else "vector_cosine_ops")


async def ensure_active(
    owner_url: str, app_role: str | None, *, provider: str, model: str, dimensions: int, precision: str
) -> Generation:
    """The active generation; the first one is made here, by one replica.

    Raises :class:`EmbedderMismatch` when the database holds vectors of another model, and
    :class:`DatabaseUnavailable`.
    """
    conn = await connect(owner_url)
    try:
        async with translated(), conn.transaction():
            await locked(conn)
            cursor = await conn.execute(
                "SELECT id, provider, model, dimensions, precision FROM generations WHERE state = 'active'"
            )
            row = await cursor.fetchone()
            if row is None:
                cursor = await conn.execute(
                    """INSERT INTO generations (provider, model, dimensions, precision, state, activated_at)
                       VALUES (%s, %s, %s, %s, 'active', now())
                       RETURNING id, provider, model, dimensions, precision""",
                    (provider, model, dimensions, precision),
                )
                row = await cursor.fetchone()
                assert row is not None
                await conn.execute("SELECT create_embeddings(%s)", (row[0],))
                await grant(conn, app_role)
    finally:
        await conn.close()
    stored = Generation(*row)
    if (stored.dimensions, stored.model, stored.precision) != (dimensions, model, precision):
        raise EmbedderMismatch(
            f"the database holds {stored.precision} vectors of {stored.model} with {stored.dimensions} dimensions, "
            f"but the settings ask for {precision} of {model} with {dimensions}; set EMBEDDER_MODEL, "
            f"EMBEDDER_DIMENSIONS and VECTOR_PRECISION back"
        )
    return stored
