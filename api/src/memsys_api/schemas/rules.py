"""Rules across fields, as a request's JSON Schema says them beside the validator that holds them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from memsys_api.filters import EARLIEST, LATEST
from memsys_api.schemas.fields import YEARS

DAY: dict[str, Any] = {"type": "string", "format": "date", "pattern": YEARS}
DAY_OR_MOMENT: list[dict[str, Any]] = [DAY, {"type": "string", "format": "date-time", "pattern": YEARS}]
UNIX_SECONDS: dict[str, Any] = {"minimum": EARLIEST, "maximum": LATEST, "description": "Unix seconds."}


def given(field: str, *types: str, none: Sequence[str] = ()) -> dict[str, Any]:
    """A field is given, as one of these types and so not null, and none of the others is."""
    kind = types[0] if len(types) == 1 else list(types)
    return {"required": [field], "properties": {field: {"type": kind}, **{other: {"type": "null"} for other in none}}}


def both(**types: str) -> dict[str, Any]:
    """All of these are given, each as its type and so not null."""
    return {"required": list(types), "properties": {field: {"type": kind} for field, kind in types.items()}}
