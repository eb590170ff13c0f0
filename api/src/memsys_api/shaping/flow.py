"""The flow of an export in a caller's shape: asked for at once, made later, kept for a while to be fetched."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from memsys_api.filters import Filters
from memsys_api.model import Scope
from memsys_api.problems import (
    EXPORT_FAILED,
    EXPORT_WAITS,
    LIMIT_REACHED,
    NOT_FOUND,
    NOT_SUPPORTED,
    ProblemError,
    invalid,
)
from memsys_api.quarantine.detect import texts_of
from memsys_api.quarantine.gate import Gate
from memsys_api.shaping.schema import SchemaRefused, Shape
from memsys_api.store import listing, shaped_exports
from memsys_api.store.database import Database
from memsys_api.store.filters import conditions
from memsys_api.store.retention import EXPORTS

MOST_MEMORIES = 500
"""Of one export: they are shown to the language model together."""
MOST_WAITING = 20
"""Exports of one key."""


class Shaping:
    """Takes exports, and tells what has become of them."""

    def __init__(self, database: Database, gate: Gate, wake: Callable[[], None] | None) -> None:
        """``wake`` is called when there is something to shape; ``None``: there is no language model to do it."""
        self._database = database
        self._gate = gate
        self._wake = wake

    async def ask(
        self,
        scope: Scope,
        wanted: Filters,
        raw_filters: Mapping[str, Any] | None,
        schema: Mapping[str, Any],
        instructions: str | None,
        *,
        actor: str,
    ) -> UUID:
        """Have the memories of a scope that a filter lets through brought into the shape of a JSON Schema.

        Raises ``not-supported`` without a language model; ``invalid-request`` for a schema that is not understood and
        for more memories than one export may have; ``not-found`` for none; ``limit-reached`` when too many wait.
        """
        if self._wake is None:
            raise ProblemError(
                NOT_SUPPORTED, "exports need a language model, and the setting LLM_PROVIDER names none on this server"
            )
        try:
            Shape(schema)
        except SchemaRefused as error:
            raise invalid(".".join(filter(None, ("schema", error.path))), str(error)) from error
        said = {"schema": schema} | ({"export_instructions": instructions} if instructions else {})
        await self._gate.refuse(scope.project, texts_of(said))
        count, _ = await listing.page(self._database, scope, number=1, size=1, filters=conditions(wanted.rest))
        if not count:
            raise ProblemError(NOT_FOUND, "there is no memory of this filter, so there is nothing to export")
        if count > MOST_MEMORIES:
            raise invalid("filters", f"let {count} memories through, and one export has at most {MOST_MEMORIES}")
        export_id = uuid4()
        request = {"schema": schema, "instructions": instructions, "filters": raw_filters}
        async with self._database.transaction(scope.project) as conn:
            if await shaped_exports.waiting(conn, scope.project, actor) >= MOST_WAITING:
                raise ProblemError(
                    LIMIT_REACHED, f"{MOST_WAITING} exports of this key wait already; wait for one of them"
                )
            await shaped_exports.insert(conn, scope, export_id, digest(scope, wanted), request, actor)
        self._wake()
        return export_id

    async def fetch(
        self, scope: Scope, *, export_id: UUID | None = None, wanted: Filters | None = None
    ) -> dict[str, Any]:
        """The object that was made: of the export with this id, or of the newest with this filter.

        Raises ``not-found``, ``export-waits`` while it is not made, ``export-failed`` when it never will be.
        """
        asked = digest(scope, wanted) if wanted is not None else None
        async with self._database.transaction(scope.project) as conn:
            found = await shaped_exports.find(conn, scope, export_id=export_id, asked=asked)
        if found is None or found.created_at < datetime.now(UTC) - EXPORTS:
            raise ProblemError(NOT_FOUND, f"there is no such export; they are kept for {EXPORTS.days} days")
        if found.state == "failed":
            raise ProblemError(EXPORT_FAILED, f"export {found.id} failed: {found.error}")
        if found.result is None:
            why = "the language model has not made it yet" if found.error is None else found.error
            if self._wake is None:
                why = "LLM_PROVIDER names no language model any more"
            raise ProblemError(EXPORT_WAITS, f"export {found.id} waits: {why}; ask again", retry_after=2)
        return found.result


def digest(scope: Scope, wanted: Filters) -> str:
    """By what two exports are of the same: their scope and filter, however these were written."""
    return hashlib.sha256(repr((scope, wanted.rest)).encode()).hexdigest()
