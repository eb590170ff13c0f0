"""A project out and in: JSON Lines, streamed."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Send
from starlette.types import Scope as ASGIScope

from memsys_api.middleware import PROGRESS
from memsys_api.model import Scope
from memsys_api.routes.common import Admin, Json, Reader, Serving, standing
from memsys_api.schemas.export import ImportReport, VersionLine, example

router = APIRouter(tags=["export"])

MEDIA_TYPE = "application/x-ndjson"
_EXAMPLE = b"\n".join(orjson.dumps(line) for line in example()).decode() + "\n"
_NDJSON: dict[str, Any] = {MEDIA_TYPE: {"schema": {"type": "string", "minLength": 1}, "example": _EXAMPLE}}


@router.get(
    "/export",
    response_class=StreamingResponse,
    responses={200: {"description": "JSON Lines: a line that names the format, a line for each version, and a last "
                     "one that counts them.", "content": _NDJSON}},
)  # fmt: skip
async def export(
    serving: Serving,
    access: Reader,
    http: Request,
    heads: Annotated[bool, Query(description="Only what can be read now, each memory as version 1.")] = False,
) -> Response:
    """The project as it is at one moment: every version of every memory with its times, metadata and provenance.

    Merges of entities are not part of it, nor are policies, keys and webhooks: state them anew where it is imported.

    When the key is revoked meanwhile, no piece (64 KiB) is begun two seconds after that, and the connection breaks off;
    so it does when a piece is not taken within `MEMSYS_SEND_TIMEOUT_SECONDS`. What is erased meanwhile is left out of
    the pieces that follow.
    """
    chunks = serving.exporting.export(access.scope(), heads=heads, check=standing(http, serving, access, "read"))
    first = await anext(chunks)  # so that what keeps it from beginning is an answer of its own
    return _Export(_after(first, chunks), media_type=MEDIA_TYPE)


class _Export(StreamingResponse):
    """Lets go of the snapshot as soon as the reader is gone or given up."""

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self.body_iterator.aclose()  # type: ignore[attr-defined]  # a generator, see below


async def _after(first: bytes, rest: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(rest):
        yield first
        async for chunk in rest:
            yield chunk


@router.post(
    "/import",
    response_model=ImportReport,
    openapi_extra={"requestBody": {"required": True, "content": _NDJSON}},
)
async def import_(
    serving: Serving,
    access: Admin,
    http: Request,
    erased: Annotated[bool, Query(description="Also bring back what was erased here.")] = False,
) -> Response:
    """Write the lines of an export, embedded anew. Lines that are there already change nothing.

    The body is read as it arrives and may be as long as it likes; only a line is bounded. Every couple of hundred lines
    are committed together: an import that broke off is simply run again, as is one that commits nothing for
    `MEMSYS_REQUEST_TIMEOUT_SECONDS` and is answered 503. So is one whose key was revoked meanwhile: it
    commits nothing more two seconds after that, and is answered 401. Needs the admin right, because it writes times
    and provenance that the server otherwise makes itself.

    What was erased here is left out, unless `erased` says otherwise, which the audit trail then tells: memories whose
    ids were erased, and those of an erased scope that were recorded before its erasure or do not say when.
    """

    def scope_of(line: VersionLine) -> Scope:
        return access.scope(line.user_id, line.agent_id, line.app_id, line.run_id)

    report = await serving.importing.run(
        access.project,
        http.stream(),
        scope_of=scope_of,
        longest=serving.settings.max_body_bytes,
        actor=access.caller.key_id,
        bring_back=erased,
        check=standing(http, serving, access, "admin"),
        progress=http.scope[PROGRESS],
    )
    return Json(
        {
            "imported": report.imported,
            "unchanged": report.unchanged,
            "feedback": report.feedback,
            "erased": report.erased,
            "held": report.held,
            "failed": report.failed,
            "complete": report.complete,
            "errors": report.errors,
        }
    )
