"""What was acknowledged, kept outside of the system: the oracle that its contents are held against afterwards."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Record:
    """One memory as its only writer knows it."""

    id: str
    user: str
    versions: dict[int, str] = field(default_factory=dict)
    """Every acknowledged version's text."""
    deleted: bool = False
    """A deletion was acknowledged."""
    perhaps: str | None = None
    """The text of an update that was given up without an answer; it may have been carried out, once."""
    perhaps_deleted: bool = False
    """A deletion was given up without an answer."""

    @property
    def settled(self) -> bool:
        """Whether what it has to be is known."""
        return self.perhaps is None and not self.perhaps_deleted

    @property
    def newest(self) -> int:
        return max(self.versions)


class Ledger:
    """Writes everything down before the next step is taken, in a file that outlives the run."""

    def __init__(self, file: Path) -> None:
        self._file = file.open("a", buffering=1)
        self.records: dict[str, Record] = {}
        self.given_up: dict[str, list[str]] = {}
        """The texts of adds that were never answered, by their idempotency key: stored once, or not at all."""
        self.acknowledged = 0

    def close(self) -> None:
        self._file.close()

    def added(self, key: str, user: str, results: list[dict[str, Any]]) -> list[Record]:
        """An add was acknowledged with these results."""
        self._note("added", key=key, results=[(one["id"], one["memory"]) for one in results])
        made = [Record(one["id"], user, {1: one["memory"]}) for one in results]
        for record in made:
            assert record.id not in self.records, f"{record.id} was acknowledged twice, under different keys"
            self.records[record.id] = record
        return made

    def add_given_up(self, key: str, texts: list[str]) -> None:
        self._note("add given up", key=key, texts=texts)
        self.given_up[key] = texts

    def updated(self, record: Record, version: int, text: str) -> None:
        """An update was acknowledged, or seen to have been carried out."""
        self._note("updated", id=record.id, version=version, text=text)
        record.versions[version] = text

    def update_given_up(self, record: Record, text: str) -> None:
        self._note("update given up", id=record.id, text=text)
        record.perhaps = text

    def deleted(self, record: Record) -> None:
        self._note("deleted", id=record.id)
        record.deleted = True

    def delete_given_up(self, record: Record) -> None:
        self._note("delete given up", id=record.id)
        record.perhaps_deleted = True

    def _note(self, what: str, **facts: Any) -> None:
        self.acknowledged += "given up" not in what
        self._file.write(json.dumps({"what": what, **facts}) + "\n")
