"""API keys: make, declare, list, rotate, revoke."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Path
from starlette.responses import Response

from memsys_api import problems, schemas
from memsys_api.access import secrets
from memsys_api.access.grants import PROJECT_FORM, PROJECT_NAME, SCOPE_IDS, Caller, beyond
from memsys_api.problems import FORBIDDEN, KEY_CONFLICT, NOT_FOUND, FieldError, ProblemError, invalid
from memsys_api.routes.common import Json, ScopedAdmin, Serving, may_answer
from memsys_api.schemas.keys import DeclaredKey, RotateRequest
from memsys_api.store import keys
from memsys_api.store.keys import Grant, StoredKey, StoredSecret

router = APIRouter(tags=["keys"])

_NO_SUCH_KEY = "there is no such key"


@router.post("/keys", response_model=schemas.NewKey, status_code=201)
async def create(serving: Serving, access: ScopedAdmin, request: schemas.NewKeyRequest) -> Response:
    """Make a key that grants no more than the caller's own does. Its secret is shown this once."""
    grant = _grant(access.caller, request)
    parts = secrets.generate()
    stored = await keys.insert(serving.database, parts.id, grant, [StoredSecret(secrets.digest(parts.secret))])
    serving.guard.forget(parts.id)
    return Json(_out(stored) | {"key": secrets.render(parts)}, status_code=201)


@router.get("/keys", response_model=list[schemas.KeyOut])
async def live(serving: Serving, access: ScopedAdmin) -> Response:
    """All live keys that grant no more than the caller's own."""
    caller = access.caller
    within = None if caller.projects is None else sorted(caller.projects)
    return Json([_out(key) for key in await keys.live(serving.database, within) if not beyond(caller, key.grant)])


@router.put("/keys/{key_id}", response_model=schemas.KeyOut, responses=may_answer(problems.KEY_CONFLICT))
async def declare(
    serving: Serving,
    access: ScopedAdmin,
    key_id: Annotated[str, Path(pattern="^[0-9A-Za-z]{12}$", description="12 of a-z, A-Z, 0-9, of your choice.")],
    request: DeclaredKey,
) -> Response:
    """Have a key be exactly this, under an id and with secrets of your own; the server's admin key only.

    The same request may be sent any number of times. So a secret can be written down first and declared then, and a
    crash between the two loses nothing. A revoked key stays revoked.
    """
    if access.caller.projects is not None:
        raise ProblemError(FORBIDDEN, "only the server's admin key may declare keys; make one with POST /keys")
    if not request.secrets and request.subject is None:
        raise invalid("secrets", "give at least one, or a subject")
    grant = _grant(access.caller, request, subject=request.subject)
    given = [StoredSecret(s.sha256, s.expires_at) for s in request.secrets]
    try:
        stored = await keys.declare(serving.database, key_id, grant, given)
    except keys.SubjectTaken:
        raise ProblemError(
            KEY_CONFLICT, f"subject: another key stands for {request.subject}; revoke it first"
        ) from None
    if stored is None:
        said = (
            "the key was revoked, which is for good; declare one under another id, as a MemoryKey that is made anew has"
        )
        raise ProblemError(KEY_CONFLICT, said)
    serving.guard.forget(key_id, request.subject)
    return Json(_out(stored))


@router.post(
    "/keys/{key_id}/rotate",
    response_model=schemas.NewKey,
    responses=may_answer(problems.NOT_FOUND),
)
async def rotate(serving: Serving, access: ScopedAdmin, key_id: str, request: RotateRequest) -> Response:
    """Give a key a new secret, shown this once; the one before is accepted for the overlap."""
    parts = secrets.KeyParts(key_id, secrets.generate().secret)
    stored = await keys.rotate(
        serving.database,
        key_id,
        secrets.digest(parts.secret),
        timedelta(seconds=request.overlap_seconds),
        lambda key: not beyond(access.caller, key.grant),
    )
    if stored is None:
        raise ProblemError(NOT_FOUND, _NO_SUCH_KEY)
    serving.guard.forget(key_id)
    return Json(_out(stored) | {"key": secrets.render(parts)})


@router.delete("/keys/{key_id}", response_model=schemas.Deleted, responses=may_answer(problems.NOT_FOUND))
async def revoke(serving: Serving, access: ScopedAdmin, key_id: str) -> Response:
    """End a key; within two seconds no replica accepts it any more."""
    if not await keys.revoke(serving.database, key_id, lambda key: not beyond(access.caller, key.grant)):
        raise ProblemError(NOT_FOUND, _NO_SUCH_KEY)
    serving.guard.forget(key_id)
    return Json({"message": "Key revoked.", "deleted": 1})


def _grant(caller: Caller, request: schemas.NewKeyRequest, subject: str | None = None) -> Grant:
    """What is asked for, narrowed to the caller's own where it says nothing; raises the problem with it."""
    for place, project in enumerate(request.projects):
        if not PROJECT_NAME.fullmatch(project):
            raise invalid(f"projects.{place}", f"is not a project name: {PROJECT_FORM}")
    if request.default_project is not None and request.default_project not in request.projects:
        raise invalid("default_project", "must be one of projects")
    if request.expires_at is not None and request.expires_at <= datetime.now(UTC):
        raise invalid("expires_at", "must lie in the future")
    if caller.projects is not None and request.requests_per_minute not in (None, caller.requests_per_minute):
        errors = [FieldError("requests_per_minute", "only the server's admin key may set it")]
        raise ProblemError(FORBIDDEN, "a key cannot lift a project's limits", errors=errors)
    grant = Grant(
        name=request.name,
        projects=list(dict.fromkeys(request.projects)),
        default_project=request.default_project or request.projects[0],
        rights=sorted(set(request.rights)),
        expires_at=request.expires_at or caller.expires_at,
        requests_per_minute=request.requests_per_minute or caller.requests_per_minute,
        subject=subject,
        **{field: getattr(request, field) or getattr(caller, field) for field in SCOPE_IDS},
    )
    if errors := beyond(caller, grant):
        raise ProblemError(FORBIDDEN, "a key cannot grant more than the one that makes it", errors=errors)
    return grant


def _out(key: StoredKey) -> dict[str, Any]:
    now = datetime.now(UTC)
    return {
        "id": key.id,
        **{field: getattr(key.grant, field) for field in keys.GRANTED},
        "created_at": key.created_at,
        "secrets": [
            {"fingerprint": s.sha256[:12], "expires_at": s.expires_at}
            for s in key.secrets
            if s.expires_at is None or s.expires_at > now
        ],
    }
