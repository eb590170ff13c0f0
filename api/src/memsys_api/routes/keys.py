"""API keys: make, list, revoke."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from memsys_api import problems, schemas
from memsys_api.access import secrets
from memsys_api.access.grants import PROJECT_FORM, PROJECT_NAME, Access
from memsys_api.problems import FORBIDDEN, NOT_FOUND, FieldError, ProblemError, invalid
from memsys_api.routes.common import Admin, Json, Serving, may_answer
from memsys_api.store import keys

router = APIRouter(tags=["keys"])


@router.post("/keys", response_model=schemas.NewKey, status_code=201)
async def create(serving: Serving, access: Admin, request: schemas.NewKeyRequest) -> Response:
    """Make a key that grants no more than the caller's own does. Its secret is shown this once."""
    _check(access, request)
    parts = secrets.generate()
    stored = await keys.insert(
        serving.database,
        key_id=parts.id,
        secret_hash=secrets.digest(parts.secret),
        name=request.name,
        projects=list(dict.fromkeys(request.projects)),
        default_project=request.default_project or request.projects[0],
        user_id=request.user_id or access.caller.user_id,
        agent_id=request.agent_id or access.caller.agent_id,
        rights=sorted(set(request.rights)),
        expires_at=request.expires_at,
    )
    serving.guard.forget(parts.id)
    return Json(_out(stored) | {"key": secrets.render(parts)}, status_code=201)


@router.get("/keys", response_model=list[schemas.KeyOut])
async def live(serving: Serving, access: Admin) -> Response:
    """All live keys within the caller's projects."""
    return Json([_out(key) for key in await keys.live(serving.database, _within(access))])


@router.delete("/keys/{key_id}", response_model=schemas.Deleted, responses=may_answer(problems.NOT_FOUND))
async def revoke(serving: Serving, access: Admin, key_id: str) -> Response:
    """End a key; within two seconds no replica accepts it any more."""
    if not await keys.revoke(serving.database, key_id, _within(access)):
        raise ProblemError(NOT_FOUND, "there is no such key")
    serving.guard.forget(key_id)
    return Json({"message": "Key revoked.", "deleted": 1})


def _within(access: Access) -> list[str] | None:
    return None if access.caller.projects is None else sorted(access.caller.projects)


def _check(access: Access, request: schemas.NewKeyRequest) -> None:
    for place, project in enumerate(request.projects):
        if not PROJECT_NAME.fullmatch(project):
            raise invalid(f"projects.{place}", f"is not a project name: {PROJECT_FORM}")
    if request.default_project is not None and request.default_project not in request.projects:
        raise invalid("default_project", "must be one of projects")
    if request.expires_at is not None and request.expires_at <= datetime.now(UTC):
        raise invalid("expires_at", "must lie in the future")
    caller = access.caller
    beyond = []
    if caller.projects is not None and not caller.projects.issuperset(request.projects):
        beyond.append(FieldError("projects", "must be among the caller's own"))
    for field in ("user_id", "agent_id"):
        granted, asked = getattr(caller, field), getattr(request, field)
        if granted is not None and asked not in (None, granted):
            beyond.append(FieldError(field, "is outside the caller's own scope"))
    if not caller.rights.issuperset(request.rights):
        beyond.append(FieldError("rights", "must be among the caller's own"))
    if beyond:
        raise ProblemError(FORBIDDEN, "a key cannot grant more than the one that makes it", errors=beyond)


def _out(key: keys.StoredKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "projects": key.projects,
        "default_project": key.default_project,
        "user_id": key.user_id,
        "agent_id": key.agent_id,
        "rights": key.rights,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
    }
