"""Fields that many requests share: what may be stored, and mem0's four ids."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Annotated, Any

import orjson
from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

MAX_TEXT = 32_000
MAX_MESSAGES = 500
MAX_RESULTS = 1_000
MAX_INDEXED_BYTES = 2_000
"""Of one text in a B-tree, whose rows take 2,704 bytes: with a project's name and numbers beside it."""
MAX_METADATA_BYTES = 64 * 1024
"""Of the metadata as JSON: it is indexed, and answered with every memory."""


def storable(value: str) -> str:
    if "\x00" in value:
        raise ValueError("must not contain the NUL character")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError("must be valid Unicode, without lone surrogates") from None
    return value


def indexable(value: str) -> str:
    """Bounded in bytes, as PostgreSQL bounds the rows of an index; a bound in characters lets other scripts through."""
    if len(value.encode()) > MAX_INDEXED_BYTES:
        raise ValueError(f"must not be longer than {MAX_INDEXED_BYTES} bytes in UTF-8")
    return value


def _no_blank(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be blank")
    return value


def storable_tree(value: dict[str, Any]) -> dict[str, Any]:
    """Metadata is stored as jsonb, which has no NUL."""
    pending: list[tuple[Any, int]] = [(value, 0)]
    while pending:
        item, depth = pending.pop()
        if depth > 32:
            raise ValueError("must not be nested deeper than 32 levels")
        if isinstance(item, str):
            storable(item)
        elif isinstance(item, dict):
            pending.extend((part, depth + 1) for pair in item.items() for part in pair)
        elif isinstance(item, list):
            pending.extend((part, depth + 1) for part in item)
        elif isinstance(item, int) and abs(item) >= 2**63:
            raise ValueError("must not hold integers beyond 64 bits")
        elif isinstance(item, float) and not math.isfinite(item):
            raise ValueError("must not hold NaN or infinite numbers")
    if len(orjson.dumps(value)) > MAX_METADATA_BYTES:
        raise ValueError(f"must not be larger than {MAX_METADATA_BYTES} bytes as JSON")
    return value


def _reckonable(value: datetime) -> datetime:
    """In UTC, and far enough from the ends of the calendar that any zone and any time-out can be applied to it."""
    if not _BEGIN <= value < _END:
        raise ValueError("must lie between the years 2 and 9998")
    return value.astimezone(UTC)


_DATED = re.compile(r"\d{4}-\d{2}-\d{2}")
_BEGIN, _END = datetime(2, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
YEARS = "^(?!0000|0001|9999)"
"""The same as a pattern, for descriptions: nearer to the calendar's ends another zone would leave it."""
MAX_TTL_SECONDS = 100 * 365 * 24 * 3600


def _written(value: object) -> object:
    if not isinstance(value, datetime) and not (isinstance(value, str) and _DATED.match(value)):
        raise ValueError("must be a time with an offset, written as in RFC 3339")
    return value


def _whole(value: object) -> object:
    """Beyond 2**53 a number that was written with a fraction may not be what was meant: as an id, another's."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) <= 2**53 else value


WHOLE = BeforeValidator(_whole)
"""Makes ``1.0`` an integer, as it is to JSON Schema, and as some languages write it. Stands behind an integer's bounds,
or they would not be described."""
Moment = Annotated[
    AwareDatetime,
    BeforeValidator(_written),
    AfterValidator(_reckonable),
    WithJsonSchema({"type": "string", "format": "date-time", "pattern": YEARS}),
]
Seconds = Annotated[int, Field(ge=1, le=MAX_TTL_SECONDS, strict=True), WHOLE]
SAYS_SOMETHING = r"^[^\x00]*[^\s\x00\x1c-\x1f\x85][^\x00]*$"
"""Not blank, no NUL. Five characters are blank to Python and not to JSON Schema's ``\\s``."""
_DESCRIBED = Field(json_schema_extra={"pattern": SAYS_SOMETHING})  # what the validators beside it refuse
Text = Annotated[
    str,
    Field(min_length=1, max_length=MAX_TEXT),
    _DESCRIBED,
    AfterValidator(storable),
    AfterValidator(_no_blank),
]
ScopeId = Annotated[
    str, Field(min_length=1, max_length=256), _DESCRIBED, AfterValidator(storable), AfterValidator(_no_blank)
]
Metadata = Annotated[dict[str, Any], AfterValidator(storable_tree)]


class Body(BaseModel):
    """Base of every request body."""

    model_config = ConfigDict(extra="forbid")


class Scoped(Body):
    """mem0's four ids, all optional."""

    user_id: ScopeId | None = Field(None, description="Whom the memory is about.")
    agent_id: ScopeId | None = Field(None, description="Which agent keeps it.")
    app_id: ScopeId | None = Field(None, description="Which application it belongs to.")
    run_id: ScopeId | None = Field(None, description="Which conversation or session it was said in.")
