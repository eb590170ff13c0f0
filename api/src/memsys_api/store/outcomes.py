"""What adds were answered with, kept as ids: the texts are read from the versions again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from memsys_api.model import Outcome
from memsys_api.store.database import Connection


def written(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """As they are kept: never a text."""
    return [{"id": str(o.id), "version": o.version, "event": o.event, "inference": o.inference} for o in outcomes]


async def resolved(conn: Connection, project: str, kept: Sequence[dict[str, Any]]) -> tuple[Outcome, ...]:
    """With the texts as they were then; an erased memory is left out."""
    cursor = await conn.execute(
        """SELECT wanted.place, m.id, m.text, before.text
           FROM unnest(%(ids)s::uuid[], %(versions)s::int[]) WITH ORDINALITY AS wanted(id, version, place)
           JOIN memory_versions m ON m.project = %(project)s AND m.id = wanted.id AND m.version = wanted.version
           LEFT JOIN memory_versions before
                  ON before.project = m.project AND before.id = m.id AND before.version = m.version - 1
           ORDER BY wanted.place""",
        {"project": project, "ids": [o["id"] for o in kept], "versions": [o["version"] for o in kept]},
    )
    outcomes = []
    for place, memory_id, text, before in await cursor.fetchall():
        first = kept[place - 1]
        previous = before if first["event"] == "UPDATE" else None
        outcomes.append(Outcome(memory_id, text, first["event"], first["version"], previous, first["inference"]))
    return tuple(outcomes)
