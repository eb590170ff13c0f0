"""A project's policy: read it, set it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from memsys_api.assembling import Service
from memsys_api.problems import FORBIDDEN, FieldError, ProblemError
from memsys_api.routes.common import Admin, Json, Reader, Serving
from memsys_api.schemas.policy import PolicyDocument, PolicyOut
from memsys_api.store import inferences, policies, usage

router = APIRouter(tags=["policy"])

_SERVER_S = ("llm_tokens_per_day", "requests_per_minute")


@router.get("/policy", response_model=PolicyOut)
async def read(serving: Serving, access: Reader) -> Response:
    """The project's policy, and what holds with the server's defaults."""
    stored = await policies.find(serving.database, access.project)
    return Json(await _out(serving, access.project, stored))


@router.put("/policy", response_model=PolicyOut)
async def put(serving: Serving, access: Admin, document: PolicyDocument) -> Response:
    """Set the project's policy as a whole; within two seconds every replica goes by it.

    A project's own administrator may not change what the server's administrator has limited.
    """
    values = document.model_dump()
    if access.caller.projects is not None:
        before = await policies.find(serving.database, access.project)
        held = before.policy if before else {}
        if beyond := [field for field in _SERVER_S if values[field] != held.get(field)]:
            raise ProblemError(
                FORBIDDEN,
                "only the server's admin key may change a project's limits",
                errors=[FieldError(field, f"must stay {_shown(held.get(field))}") for field in beyond],
            )
    stored = await policies.put(serving.database, access.project, values, access.caller.key_id)
    serving.policies.forget(access.project)
    await inferences.hasten(serving.database, access.project)  # the budget may be larger now
    return Json(await _out(serving, access.project, stored))


def _shown(limit: int | None) -> str:
    return "null" if limit is None else str(limit)


async def _out(serving: Service, project: str, stored: policies.StoredPolicy | None) -> dict[str, Any]:
    said = stored.policy if stored else {}
    return {
        "project": project,
        "policy": {field: said.get(field) for field in PolicyDocument.model_fields},
        "in_force": asdict(serving.policies.in_force(said)),
        "llm_tokens_today": await usage.today(serving.database, project),
        "updated_at": stored.updated_at if stored else None,
        "updated_by": stored.updated_by if stored else None,
    }
