"""Exports in the shape of a caller's JSON Schema, made by the language model: operations, and both clients' methods."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from memsys.models import Wire
from memsys.operations import Call, to_body
from memsys.sending import AsyncSending, Sending

_OBJECT = TypeAdapter(dict[str, Any])


class _Asked(Wire):
    id: uuid.UUID


def ask(schema: Mapping[str, Any], filters: Mapping[str, Any] | None, instructions: str | None) -> Call[_Asked]:
    """Not repeatable: a second attempt would have a second export made."""
    body = to_body(schema=schema, filters=filters, export_instructions=instructions)
    return Call("POST", "/v1/exports/", _Asked, body=body)


def fetch(export_id: uuid.UUID | str) -> Call[dict[str, Any]]:
    body = to_body(memory_export_id=str(export_id))
    return Call("POST", "/v1/exports/get/", _OBJECT, body=body, repeatable=True)


class ShapedExportMethods(Sending):
    """The blocking client's methods for exports in a shape."""

    def ask_for_shaped_export(
        self,
        schema: Mapping[str, Any],
        *,
        filters: Mapping[str, Any] | None = None,
        instructions: str | None = None,
    ) -> uuid.UUID:
        """Have memories brought into the shape of a JSON Schema; its id, to be fetched by. Never retried."""
        return self._send(ask(schema, filters, instructions)).id

    def shaped_export(self, export_id: uuid.UUID | str) -> dict[str, Any]:
        """The object that was made.

        Raises :class:`ExportWaits` until it is there, and :class:`ExportFailed` when it never will be.
        """
        return self._send(fetch(export_id))


class AsyncShapedExportMethods(AsyncSending):
    """The asynchronous client's methods for exports in a shape."""

    async def ask_for_shaped_export(
        self,
        schema: Mapping[str, Any],
        *,
        filters: Mapping[str, Any] | None = None,
        instructions: str | None = None,
    ) -> uuid.UUID:
        """Have memories brought into the shape of a JSON Schema; its id, to be fetched by. Never retried."""
        return (await self._send(ask(schema, filters, instructions))).id

    async def shaped_export(self, export_id: uuid.UUID | str) -> dict[str, Any]:
        """The object that was made.

        Raises :class:`ExportWaits` until it is there, and :class:`ExportFailed` when it never will be.
        """
        return await self._send(fetch(export_id))
