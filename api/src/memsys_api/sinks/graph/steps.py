"""What a graph store is asked to do, statement by statement, whichever store carries the statements out.

Every sequence may end anywhere and be begun again: the version of a memory that is written anew is cleared first.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import replace
from typing import Any, LiteralString, Protocol
from uuid import UUID

from memsys_api.model import Extraction, SinkRecord
from memsys_api.sinks.graph import content, cypher

NIL = UUID(int=0)
SWEPT_AT_ONCE = 1_000


class Run(Protocol):
    """Carries out one statement and returns its rows."""

    def __call__(self, statement: LiteralString, **parameters: Any) -> Awaitable[list[content.Row]]: ...


async def apply(run: Run, records: Sequence[SinkRecord]) -> None:
    """Write the newest states of distinct memories; what is older than the graph's is left out."""
    held = await _held(run, content.identity_rows(records))
    due = [record for record in records if record.version >= held.get((record.project, str(record.id)), 0)]
    if not due:
        return
    loosened = await _clear(run, content.identity_rows(due))
    for statement, rows in (
        (cypher.WRITE_MEMORIES, content.memory_rows(due)),
        (cypher.WRITE_MENTIONS, content.mention_rows(due)),
        (cypher.WRITE_ENTITIES, content.entity_rows([replace(one, extraction=Extraction()) for one in due])),
        (cypher.WRITE_RELATIONS, content.relation_rows(due)),
    ):
        if rows:
            await run(statement, rows=rows)
    if gone := content.identity_rows(record for record in due if record.memory is None):
        await run(cypher.REMOVE_MEMORIES, records=gone)
        await run(cypher.WRITE_TOMBSTONES, records=gone)
    if loosened:
        await run(cypher.REMOVE_ORPHANS, keys=loosened)


async def forget(run: Run, project: str, ids: Sequence[UUID]) -> None:
    """Remove memories and their tombstones with all that only they support."""
    records = [{"project": project, "id": str(memory_id)} for memory_id in ids]
    loosened = await _clear(run, records)
    await run(cypher.REMOVE_MEMORIES, records=records)
    await run(cypher.REMOVE_TOMBSTONES, records=records)
    if loosened:
        await run(cypher.REMOVE_ORPHANS, keys=loosened)


async def doubt_names(run: Run, project: str, keys: Sequence[str]) -> None:
    """Let the names that are written next of these entities stand."""
    await run(cypher.DOUBT_NAMES, project=project, keys=list(keys))


async def versions(run: Run, project: str, ids: Sequence[UUID]) -> dict[UUID, int]:
    """The highest version of each memory, living or buried."""
    found = await _held(run, [{"project": project, "id": str(memory_id)} for memory_id in ids])
    return {UUID(memory_id): version for (_, memory_id), version in found.items()}


async def read(run: Run, project: str, after: UUID | None, limit: int) -> list[tuple[UUID, int, str]]:
    """Id, version and content hash of up to ``limit`` memories after an id, in order."""
    found: list[tuple[UUID, int, str]] = []
    last = str(after or NIL)
    while (wanted := limit - len(found)) > 0:
        memories = await run(cypher.READ, project=project, after=last, limit=wanted)
        stated = await run(cypher.READ_RELATIONS, project=project, ids=[row["id"] for row in memories])
        relations: dict[str, list[content.Row]] = {}
        for row in stated:
            relations.setdefault(row["id"], []).append(row)
        found += [
            (memory_id, row["version"], content.stored_hash(row, relations.get(row["id"], ())))
            for row in memories
            if (memory_id := _identity(row["id"])) is not None
        ]
        if len(memories) < wanted:
            break
        last = memories[-1]["id"]
    return found


async def holding(run: Run, project: str, ids: Sequence[UUID]) -> int:
    """How many of these memories there is more of than a tombstone."""
    [row] = await run(cypher.HOLDING, project=project, ids=[str(memory_id) for memory_id in ids])
    return int(row["held"])


async def strays(run: Run, project: str) -> int:
    """How many relations and entities no memory supports."""
    counts = [await run(statement, project=project) for statement in (cypher.STRAY_RELATIONS, cypher.STRAY_ENTITIES)]
    return sum(int(rows[0]["found"]) for rows in counts)


async def sweep_some(run: Run, project: str) -> int:
    """Remove some strays, and say how many: 0 when there are none left."""
    for statement in (cypher.SWEEP_RELATIONS, cypher.SWEEP_ENTITIES):
        [row] = await run(statement, project=project, limit=SWEPT_AT_ONCE)
        if row["found"]:
            return int(row["found"])
    return 0


async def _held(run: Run, records: list[content.Row]) -> dict[tuple[str, str], int]:
    rows = await run(cypher.HELD, records=records)
    # A version that somebody changed to anything else than a number counts as none.
    return {
        (row["project"], row["id"]): max((v for v in (row["living"], row["buried"]) if isinstance(v, int)), default=0)
        for row in rows
    }


async def _clear(run: Run, records: list[content.Row]) -> list[content.Row]:
    """Take back what memories said; returns the entities that they spoke of."""
    relations = await run(cypher.CLEAR_RELATIONS, records=records)
    mentions = await run(cypher.CLEAR_MENTIONS, records=records)
    ends = {(row["project"], row[end]) for row in relations for end in ("subject", "object")}
    spoken_of = ends | {(row["project"], row["key"]) for row in mentions}
    return [{"project": project, "key": key} for project, key in sorted(spoken_of, key=str)]


def _identity(text: str) -> UUID | None:
    """``None`` for what somebody wrote there by hand."""
    try:
        return UUID(text)
    except ValueError:
        return None
