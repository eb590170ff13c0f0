"""What every source is turned into: the lines that ``POST /import`` takes, and what had to be left out. Pure."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic_core import PydanticSerializationError, to_json

SCOPE_IDS = ("user_id", "agent_id", "app_id", "run_id")
MAX_TEXT = 32_000

_NAMESPACE = uuid.UUID("8f2b9a54-5d0e-4a57-9f6e-6f1f3c1d2b70")


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something of the source that is not brought over, and why."""

    what: str
    reason: str


Item = dict[str, Any] | Skipped


def identifier(source: str, name: str) -> str:
    """The id of a memory: its own where that is a UUID, else one that is the same on every run."""
    try:
        return str(uuid.UUID(name))
    except ValueError:
        return str(uuid.uuid5(_NAMESPACE, f"{source}:{name}".encode(errors="backslashreplace").decode()))


def moment(value: object) -> str | None:
    """A time as the service takes it; without an offset it is UTC. ``None`` for what is none."""
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            read = datetime.fromtimestamp(value, UTC)
        elif isinstance(value, str):
            read = datetime.fromisoformat(value)
        else:
            return None
    except (ValueError, OverflowError, OSError):
        return None
    return (read if read.tzinfo else read.replace(tzinfo=UTC)).astimezone(UTC).isoformat()


def memory(
    source: str, name: str, text: object, *, scope: Mapping[str, Any], defaults: Mapping[str, str], **fields: Any
) -> Item:
    """One memory at its first version, or why it cannot be one."""
    if not isinstance(text, str) or not text.strip():
        return Skipped(name, "has no text")
    if len(text) > MAX_TEXT:
        return Skipped(name, f"is longer than {MAX_TEXT} characters")
    ids = {field: str(scope[field]) for field in SCOPE_IDS if scope.get(field)}
    line = {
        "id": identifier(source, name),
        "version": 1,
        "memory": text.replace("\x00", ""),
        **dict(defaults),
        **ids,
        "provenance": {"imported_from": source, "id": name},
        **fields,
    }
    return {field: value for field, value in line.items() if value is not None}


def file(lines: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    """Lines as an export, from its first line to its last."""
    yield to_json({"format": "memsys-export", "version": 1}) + b"\n"
    count = 0
    for line in lines:
        count += 1
        yield _written(line) + b"\n"
    yield to_json({"end": True, "versions": count}) + b"\n"


def _written(line: Mapping[str, Any]) -> bytes:
    try:
        return to_json(line)
    except (PydanticSerializationError, UnicodeError):
        return to_json(_mended(line))


def _mended(value: Any) -> Any:
    """With U+FFFD for lone surrogates: half of an emoji, where a program has cut a text in its middle."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, Mapping):
        return {_mended(name): _mended(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_mended(part) for part in value]
    return value
