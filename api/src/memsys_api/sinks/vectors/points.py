"""What an external index holds of a memory: its ids, its scope, its vector. Pure; no text ever."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID, uuid5

from memsys_api.model import Embedded, Scope

SCOPE_FIELDS = ("project", "user_id", "agent_id", "app_id", "run_id")
FIELDS = ("memory_id", "version", *SCOPE_FIELDS)
_NAMESPACE = UUID("6d656d73-7973-5000-8000-766563746f72")


@dataclass(frozen=True, slots=True)
class Point:
    """One entry of an index. ``id`` is a UUID, the only form of id that all of the stores take."""

    id: str
    vector: list[float]
    payload: dict[str, str | int]


def point_id(project: str, memory_id: UUID) -> str:
    """The id of a memory's entry: memories of two projects may share their id, entries of one collection may not."""
    return str(uuid5(_NAMESPACE, f"{memory_id}/{project}"))


def point(embedded: Embedded) -> Point:
    """The entry of a memory."""
    payload: dict[str, str | int] = {"memory_id": str(embedded.id), "version": embedded.version}
    payload |= scope_of(embedded.scope)
    return Point(point_id(embedded.scope.project, embedded.id), embedded.vector.tolist(), payload)


def scope_of(scope: Scope) -> dict[str, str]:
    """The ids of a scope that are set; an id that is not set is not stored, and not filtered by."""
    return {name: value for name in SCOPE_FIELDS if (value := getattr(scope, name)) is not None}


def memory_of(payload: Mapping[str, object] | None) -> UUID | None:
    """Which memory an entry stands for; ``None`` for one that is not of our making."""
    try:
        return UUID(str((payload or {})["memory_id"]))
    except (KeyError, ValueError):
        return None
