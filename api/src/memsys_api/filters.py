"""What a search may be filtered by. Pure: from the request's `filters` to a typed filter, refusing what it is not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from memsys_api.problems import invalid

SCOPE_FIELDS = ("user_id", "agent_id", "app_id", "run_id")
_MAX_FIELDS = 50

Scalar = str | int | float | bool | None


@dataclass(frozen=True)
class Equals:
    """A metadata field holds exactly this value."""

    field: str
    value: Scalar


@dataclass(frozen=True)
class Filters:
    """The ids a filter narrows the scope by, and what must hold of the metadata; all of it at once."""

    ids: dict[str, str]
    metadata: tuple[Equals, ...]


def parse(raw: Mapping[str, Any] | None) -> Filters:
    """Read a request's filters. Raises an ``invalid-request`` problem that names the field at fault."""
    ids: dict[str, str] = {}
    metadata: list[Equals] = []
    if len(raw or {}) > _MAX_FIELDS:
        raise invalid("filters", f"must not name more than {_MAX_FIELDS} fields")
    for field, value in (raw or {}).items():
        name = f"filters.{field}"
        if field in SCOPE_FIELDS:
            if not isinstance(value, str) or not value:
                raise invalid(name, "must be a non-empty string")
            ids[field] = value
        elif field in ("AND", "OR", "NOT") or isinstance(value, dict | list):
            raise invalid(name, "operators are not supported; give a plain value that the field must equal")
        else:
            metadata.append(Equals(field, value))
    return Filters(ids, tuple(metadata))
