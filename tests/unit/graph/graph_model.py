"""What each statement of the projection does, on a graph of plain values: an interpretation beside Cypher's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from memsys_api.sinks.graph import cypher
from memsys_api.sinks.graph.content import SCOPE, Row


class Broken(Exception):
    """The store went away between two statements."""


class GraphModel:
    """Nodes and edges of one store; ``breaks_after`` so many statements more it goes away, once."""

    def __init__(self) -> None:
        self.memories: dict[str, Row] = {}
        self.tombstones: dict[str, int] = {}
        self.entities: dict[str, Row] = {}
        self.mentions: list[tuple[str, str]] = []
        self.relations: list[Row] = []
        self.breaks_after: int | None = None
        self._does: dict[str, Callable[..., list[Row] | None]] = {
            cypher.HELD: self._held,
            cypher.CLEAR_RELATIONS: self._clear_relations,
            cypher.CLEAR_MENTIONS: self._clear_mentions,
            cypher.WRITE_MEMORIES: self._write_memories,
            cypher.WRITE_MENTIONS: self._write_mentions,
            cypher.WRITE_ENTITIES: self._write_entities,
            cypher.WRITE_RELATIONS: self._write_relations,
            cypher.REMOVE_MEMORIES: self._remove_memories,
            cypher.WRITE_TOMBSTONES: self._write_tombstones,
            cypher.REMOVE_ORPHANS: self._remove_orphans,
            cypher.SWEEP_RELATIONS: self._sweep_relations,
            cypher.SWEEP_ENTITIES: self._sweep_entities,
        }

    async def __call__(self, statement: str, **parameters: Any) -> list[Row]:
        """Carry out one statement: all of it, or, when the store goes away before, nothing."""
        if self.breaks_after is not None:
            self.breaks_after -= 1
            if self.breaks_after < 0:
                self.breaks_after = None
                raise Broken
        return self._does[statement](**parameters) or []

    def content(self) -> dict[str, list[Any]]:
        """Everything that it holds, in one order."""
        return {
            "memories": sorted(map(_items, self.memories.values())),
            "tombstones": sorted(self.tombstones.items()),
            "entities": sorted(map(_items, self.entities.values())),
            "mentions": sorted(self.mentions),
            "relations": sorted(map(_items, self.relations)),
        }

    def outline(self) -> dict[str, Any]:
        """Which nodes and edges there are, without their properties."""
        return {
            "memories": {key: memory["version"] for key, memory in self.memories.items()},
            "tombstones": self.tombstones,
            "mentions": sorted(self.mentions),
            "relations": sorted(
                (one["memory_id"], one["version"], one["subject"], one["object"], one["recorded_to"] is not None)
                for one in self.relations
            ),
            "entities": set(self.entities),
        }

    def _held(self, records: list[Row]) -> list[Row]:
        return [
            {**row, "living": self.memories.get(row["id"], {}).get("version"), "buried": self.tombstones.get(row["id"])}
            for row in records
            if row["id"] in self.memories or row["id"] in self.tombstones
        ]

    def _clear_relations(self, records: list[Row]) -> list[Row]:
        ids = {row["id"] for row in records}
        gone = [one for one in self.relations if one["memory_id"] in ids]
        self.relations = [one for one in self.relations if one["memory_id"] not in ids]
        return [{name: one[name] for name in ("project", "subject", "object")} for one in gone]

    def _clear_mentions(self, records: list[Row]) -> list[Row]:
        ids = {row["id"] for row in records}
        gone = {key for memory, key in self.mentions if memory in ids}
        self.mentions = [one for one in self.mentions if one[0] not in ids]
        return [{"project": records[0]["project"], "key": key} for key in sorted(gone)]

    def _write_memories(self, rows: list[Row]) -> None:
        for row in rows:
            self.memories[row["id"]] = {name: row[name] for name in ("id", "version", "text", "event_time", *SCOPE)}
            self.tombstones.pop(row["id"], None)

    def _write_mentions(self, rows: list[Row]) -> None:
        for row in rows:
            if row["id"] in self.memories:
                self._name(row)
                self.mentions.append((row["id"], row["key"]))

    def _write_entities(self, rows: list[Row]) -> None:
        for row in rows:
            self._name(row)

    def _name(self, row: Row) -> None:
        held = self.entities.get(row["key"])
        if held is None or held["revision"] <= row["revision"]:
            self.entities[row["key"]] = {name: row[name] for name in ("key", "name", "kind", "revision")}

    def _write_relations(self, rows: list[Row]) -> None:
        self.relations += [row for row in rows if row["subject"] in self.entities and row["object"] in self.entities]

    def _remove_memories(self, records: list[Row]) -> None:
        for row in records:
            self.memories.pop(row["id"], None)
            self.mentions = [one for one in self.mentions if one[0] != row["id"]]

    def _write_tombstones(self, records: list[Row]) -> None:
        self.tombstones |= {row["id"]: row["version"] for row in records}

    def _remove_orphans(self, keys: list[Row]) -> None:
        for row in keys:
            if row["key"] not in self._held_entities():
                self.entities.pop(row["key"], None)

    def _sweep_relations(self, project: str, limit: int) -> list[Row]:
        strays = [one for one in self.relations if one["memory_id"] not in self.memories][:limit]
        self.relations = [one for one in self.relations if one not in strays]
        return [{"found": len(strays)}]

    def _sweep_entities(self, project: str, limit: int) -> list[Row]:
        strays = sorted(set(self.entities) - self._held_entities())[:limit]
        for key in strays:
            del self.entities[key]
        return [{"found": len(strays)}]

    def _held_entities(self) -> set[str]:
        return {key for _, key in self.mentions} | {one[end] for one in self.relations for end in ("subject", "object")}


def _items(row: Row) -> list[tuple[str, str]]:
    return sorted((name, str(value)) for name, value in row.items())
