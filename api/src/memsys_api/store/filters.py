"""Filters as SQL conditions on `m` (memory_versions)."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql
from psycopg.types.json import Jsonb

from memsys_api.filters import Equals
from memsys_api.store.rows import Condition


def conditions(metadata: Sequence[Equals]) -> list[Condition]:
    """One containment for all equalities, which the index on metadata answers."""
    if not metadata:
        return []
    wanted = {equals.field: equals.value for equals in metadata}
    return [Condition(sql.SQL("m.metadata @> %(metadata_filter)s"), {"metadata_filter": Jsonb(wanted)})]
