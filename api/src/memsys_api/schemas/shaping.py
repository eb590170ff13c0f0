"""Exports in a caller's shape, on the wire, as mem0's clients ask for them."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from memsys_api.filters import SCOPE_FIELDS
from memsys_api.schemas.fields import Metadata, Scoped, Text
from memsys_api.schemas.rules import given


def _from_text(value: object) -> object:
    """mem0's Python client declares the schema as a string, and its users give either."""
    if not isinstance(value, str):
        return value
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        raise ValueError("must be a JSON Schema: an object, or a string that holds one") from None


class Mem0Export(Scoped):
    """`create_memory_export`: which memories, and the JSON Schema of the object to be made of them."""

    # `schema` is a method of every model.
    shape: Annotated[Metadata, BeforeValidator(_from_text)] = Field(
        alias="schema",
        description="The JSON Schema of one object, of keywords that pydantic writes; another is refused by name.",
    )
    filters: Metadata | None = Field(None, description="As the filters of `/search`.")
    export_instructions: Text | None = Field(None, description="Instructions to the language model.")


class Mem0ExportQuery(Scoped):
    """`get_memory_export`: the export with this id, or the newest one that was asked for with these filters."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                *(given(field, "string") for field in ("memory_export_id", *SCOPE_FIELDS)),
                {"required": ["filters"], "properties": {"filters": {"type": "object", "minProperties": 1}}},
            ]
        }
    )

    memory_export_id: UUID | None = None
    filters: Metadata | None = None


class Mem0ExportAsked(BaseModel):
    """An export that will be made."""

    id: UUID
    message: str
