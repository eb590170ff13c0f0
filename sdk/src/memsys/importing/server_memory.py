"""The knowledge graph that the MCP server ``@modelcontextprotocol/server-memory`` keeps in a file of JSON Lines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from memsys.importing.lines import Item, Skipped, memory

_SOURCE = "server-memory"


def graph(path: Path, defaults: Mapping[str, str]) -> Iterator[Item]:
    """One memory for each observation, and one for each relation; an entity without either is one by itself.

    Raises :class:`OSError`.
    """
    with path.open(encoding="utf-8-sig") as lines:  # some editors begin a file with a mark
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                one = json.loads(line)
            except ValueError:
                yield Skipped(f"line {number}", "is not JSON")
                continue
            kind = one.get("type") if isinstance(one, dict) else None
            if kind == "entity":
                yield from _entity(one, defaults)
            elif kind == "relation":
                yield _relation(one, defaults)
            else:
                yield Skipped(f"line {number}", "is neither an entity nor a relation")


def _entity(one: Mapping[str, Any], defaults: Mapping[str, str]) -> Iterator[Item]:
    name, kind = str(one.get("name", "")), str(one.get("entityType", ""))
    observed = [text for text in one.get("observations") or [] if isinstance(text, str) and text.strip()]
    for text in dict.fromkeys(observed):
        said = text if not name or _names(text, name) else f"{name}: {text}"
        yield _memory(f"{name}\x1f{text}", said, defaults, {"entity": name, "entity_type": kind})
    if not observed:
        yield _memory(name, f"{name} is a {kind}" if kind else name, defaults, {"entity": name, "entity_type": kind})


def _names(text: str, name: str) -> bool:
    """Whether the text says the name, as no part of a longer word: "Banana bread" does not say of whom it is."""
    text, name = text.lower(), name.lower()
    begin = text.find(name)
    while begin >= 0:
        end = begin + len(name)
        if not (_goes_on(text[begin - 1 : begin]) or _goes_on(text[end : end + 1])):
            return True
        begin = text.find(name, begin + 1)
    return False


def _goes_on(character: str) -> bool:
    """Whether a word goes on with it, in scripts that part words; what has no case is of one that may not."""
    return character.isdigit() or character.lower() != character.upper()


def _relation(one: Mapping[str, Any], defaults: Mapping[str, str]) -> Item:
    parts = [str(one.get(field, "")) for field in ("from", "relationType", "to")]
    text = " ".join([parts[0], parts[1].replace("_", " "), parts[2]])
    metadata = {"from": parts[0], "relation_type": parts[1], "to": parts[2]}
    return _memory("\x1f".join(parts), text, defaults, metadata)


def _memory(name: str, text: str, defaults: Mapping[str, str], metadata: dict[str, str]) -> Item:
    item = memory(_SOURCE, name, text, scope={}, defaults=defaults, metadata=metadata)
    if isinstance(item, dict):
        item["provenance"] = {"imported_from": _SOURCE}
    return item
