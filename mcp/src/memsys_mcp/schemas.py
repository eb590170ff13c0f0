"""The tools' schemas: what goes in at hand for the transport, what comes out as short as it is written."""

from __future__ import annotations

from typing import Any

from fastmcp import Client, FastMCP
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema


class AsWritten(GenerateJsonSchema):
    """Describes answers from which everything empty is left out: no field is ever null, and none has a title.

    A client compares every answer with this, field by field: each alternative that never comes costs it time.
    """

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        if schema.get("default") is None:
            return self.generate_inner(schema["schema"])
        return super().default_schema(schema)

    def field_title_should_be_set(self, schema: object) -> bool:
        return False


async def keep_at_hand(server: FastMCP[Any]) -> None:
    """Give the transport the schemas of the tools, which are the same for every caller from start to end.

    It compares each call over HTTP with the called tool's schema. Left to itself it asks for the whole list of tools
    every time, by way of the protocol, which takes longer than the call. FastMCP does not pass on the SDK's
    ``Server(get_tool_input_schema=…)``, so it is set on the SDK's server within.

    A client asks for them, for FastMCP loads parts of itself at the first request, and for that long answers no other:
    0.2 s on a fast machine.
    """
    async with Client(server) as own:
        schemas = {tool.name: tool.input_schema for tool in await own.list_tools()}
    server._mcp_server.get_tool_input_schema = schemas.get
