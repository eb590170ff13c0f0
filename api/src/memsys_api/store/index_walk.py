"""How a statement goes by a project's own vector index: in the order of distance, and only so far. Pure.

Text of statements about the table of a generation's vectors, which is ``e`` there.
"""

from __future__ import annotations

from psycopg import sql

from memsys_api.store.generations import Generation
from memsys_api.store.rows import scope_clause

MOST_PASSED = 10_000
"""How many of the project's vectors the index goes through for a part of it, before that is compared whole."""

# Without the iterative scan a filter inside the project would thin out the index's first answers. It ends where the
# statement does (see nearest_of): at its own bounds, of vectors and memory, it would return others than the nearest,
# and not say so. Whole projects are asked by one plan; how much a narrower scope or a filter leaves, only its values
# tell.
PLANNING = (
    "SELECT set_config('hnsw.iterative_scan', 'strict_order', true), set_config('hnsw.ef_search', '400', true), "
    "set_config('hnsw.max_scan_tuples', '2147483647', true), set_config('hnsw.scan_mem_multiplier', '16', true), "
    "set_config('plan_cache_mode', '{}', true), set_config('jit', 'off', true)"
)
HEAD = sql.SQL("e.head AND (e.expires_at IS NULL OR e.expires_at > now())")
"""Vectors of memories as they are now."""
VERSION_OF = sql.SQL("m.project = {0}.project AND m.id = {0}.memory_id AND m.version = {0}.version")


def heads_of(project: str) -> sql.Composed:
    """The vectors of a project's memories as they are now, said so that its own index serves."""
    # As a literal: a generic plan would drop the index that is partial by project.
    return sql.SQL("{} AND e.project = {} AND {}").format(scope_clause((), "e"), sql.Literal(project), HEAD)


def nearest_of(
    generation: Generation, project: str, columns: sql.Composable, to: sql.Composable, rows: sql.Composable
) -> sql.Composed:
    """The columns of the project's vectors that are nearest ``to`` one: as many as are half of ``rows``.

    That is where a part of a project of so many rows is looked for. It is twice what must be expected where the part is
    as large as it has to be (search_way.worth_indexes) and its vectors lie like those of others. Where they lie farther
    from the query than others', too few of them are found here, and the part is to be compared whole.
    """
    return sql.SQL(
        "SELECT {columns} FROM {table} e WHERE {heads} ORDER BY e.embedding <=> {to} LIMIT least({rows} / 2, {most})"
    ).format(
        columns=columns,
        table=generation.table,
        heads=heads_of(project),
        to=to,
        rows=rows,
        most=sql.Literal(MOST_PASSED),
    )
