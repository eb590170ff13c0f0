"""The audit trail, to read."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from memsys_api.routes.common import Admin, Json, Serving, read_cursor, write_cursor
from memsys_api.schemas.audit import AuditPage, AuditQuery
from memsys_api.store import audit

router = APIRouter(tags=["audit"])


@router.get("/audit", response_model=AuditPage)
async def page(serving: Serving, access: Admin, query: Annotated[AuditQuery, Query()]) -> Response:
    """Who changed what within the project, newest first. Of reads those that hand out much are recorded."""
    question = audit.Question(query.actor, query.action, query.target, query.since, query.until)
    entries, following = await audit.page(
        serving.database, access.project, question, limit=query.limit, before=read_cursor(query.cursor)
    )
    return Json({"results": [asdict(entry) for entry in entries], "next_cursor": write_cursor(following)})
