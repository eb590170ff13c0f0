"""What mem0's clients and server offer and this one does not: answered 501 by name, never as if it had been done."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import APIRouter

from memsys_api import problems
from memsys_api.problems import NOT_SUPPORTED, ProblemError
from memsys_api.routes.common import Reader, may_answer

router = APIRouter(tags=["mem0: not supported"])

_SUMMARIES = "summaries are not supported"
_PROFILES = "profiles are not supported"
_PROJECTS = "organizations and projects are not managed here; a project comes into being with its first memory"
_WEBHOOKS = "webhooks are registered at /webhooks, where they have a secret to be signed with"
_RESET = "a project is not reset at once; delete by user_id, agent_id, app_id or run_id"
_CONFIGURE = "the server is configured by its settings, not by a request; GET /info shows them"

_ROUTES: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("/v1/summary/", ("POST",), _SUMMARIES),
    ("/v2/entities/user/{entity_id:path}/profile/", ("GET",), _PROFILES),
    ("/v2/profiles/settings/", ("GET", "POST"), _PROFILES),
    ("/v2/profiles/jobs/", ("POST",), _PROFILES),
    ("/v2/profiles/jobs/{job_id}/", ("GET",), _PROFILES),
    ("/api/v1/orgs/organizations/{org_id}/projects/", ("GET", "POST"), _PROJECTS),
    ("/api/v1/orgs/organizations/{org_id}/projects/{project_id}/", ("GET", "PATCH", "DELETE"), _PROJECTS),
    (
        "/api/v1/orgs/organizations/{org_id}/projects/{project_id}/members/",
        ("GET", "POST", "PUT", "DELETE"),
        _PROJECTS,
    ),
    ("/api/v1/webhooks/projects/{project_id}/", ("GET", "POST"), _WEBHOOKS),
    ("/api/v1/webhooks/{webhook_id}/", ("PUT", "DELETE"), _WEBHOOKS),
    ("/reset", ("POST",), _RESET),
    ("/configure", ("GET", "POST"), _CONFIGURE),
)


def _refusal(detail: str) -> Callable[..., Awaitable[None]]:
    async def refuse(access: Reader) -> None:
        raise ProblemError(NOT_SUPPORTED, detail)

    return refuse


for _path, _methods, _detail in _ROUTES:
    for _method in _methods:
        router.add_api_route(
            _path,
            _refusal(_detail),
            methods=[_method],
            name="not_supported",
            summary=f"Not supported: {_detail}",
            status_code=NOT_SUPPORTED.status,
            response_model=None,
            responses=may_answer(problems.NOT_SUPPORTED),
        )
