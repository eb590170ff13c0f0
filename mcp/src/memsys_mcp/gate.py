"""Who may come in, and as whom: API keys go on to the API, access tokens end here.

The server's own key serves a caller only as a verified :class:`Principal`, or as anybody where the settings say so in
words. A request without good credentials is answered here and reaches nothing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response

from memsys_mcp import caller as callers
from memsys_mcp import projects
from memsys_mcp.access import Access, TooManyWrongKeys
from memsys_mcp.answers import problem
from memsys_mcp.caller import Caller, Unclear
from memsys_mcp.catalogue import WRITES
from memsys_mcp.oauth import metadata, tokens
from memsys_mcp.oauth.grants import ANY_PROJECT, RIGHTS, Grants, Principal, ScopePattern
from memsys_mcp.oauth.keysets import IssuerAway, IssuerKeys
from memsys_mcp.oauth.tokens import TokenRefused
from memsys_mcp.oauth.verifier import Verifier
from memsys_mcp.projects import HEADER, ProjectError
from memsys_mcp.settings import Settings
from memsys_mcp.settings.auth import Auth

KEY_PREFIX = "msk_"
ANYONE = Principal("", "anyone", "anyone", Grants({ANY_PROJECT: frozenset(RIGHTS)}))
RETRY_SECONDS = 5

Body = Callable[[], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class Visit:
    """One request, as far as the gate looks at it."""

    headers: Headers
    path: str
    path_project: str | None
    address: str
    """The client's, behind proxies that are trusted to tell it."""
    request_id: str
    body: Body


class Gate:
    """Lets a request in as a :class:`Caller`, or answers it."""

    def __init__(self, settings: Settings, access: Access) -> None:
        self._settings = settings
        self._access = access
        self._pattern = ScopePattern(settings.oauth_scope_pattern)
        self._verifier = None
        if settings.auth is Auth.KEYS_AND_OAUTH:
            self._verifier = Verifier(
                {issuer: IssuerKeys(issuer, settings.oauth_jwks_url) for issuer in settings.oauth_issuers},
                algorithms=settings.oauth_algorithms,
                audiences=settings.oauth_audiences,
                pattern=self._pattern,
                projects_claim=settings.oauth_projects_claim,
                user_claim=settings.oauth_user_claim,
            )

    async def enter(self, visit: Visit) -> Caller | Response:
        """The caller, or the refusal."""
        try:
            return await self._enter(visit)
        except TooManyWrongKeys as error:
            seconds = math.ceil(error.retry_after)
            detail = f"too many wrong keys came from this address; try again in {seconds} s, with a valid key"
            return problem(429, "rate-limited", "Too many requests", detail, {"Retry-After": str(seconds)})

    async def _enter(self, visit: Visit) -> Caller | Response:
        try:
            credentials = callers.credentials_of(visit.headers)
        except Unclear as error:
            return problem(400, "invalid-request", "Bad request", str(error))
        if credentials is None:
            if self._settings.auth is Auth.NONE:
                return await self._vouched(visit, ANYONE)
            return self._unauthorized(visit, "no credentials were sent", error=None)
        if self._is_key(credentials):
            if not await self._access.admits(credentials, visit.address):
                return self._unauthorized(visit, "the key is unknown, expired or revoked")
            return _caller(visit, key=credentials)
        if self._verifier is None:
            return self._unauthorized(visit, "this server takes API keys, not access tokens")
        return await self._holder(visit, credentials, self._verifier)

    def metadata(self, path: str) -> Response:
        """The protected-resource metadata of the resource at ``path``."""
        resource = metadata.resource_path(path)
        if self._verifier is None or resource != path:
            return problem(404, "not-found", "Not found", "there is no protected resource at this path")
        document = metadata.document(
            f"{self._settings.public_url}{path}", self._settings.oauth_issuers, self._scopes(_named(path))
        )
        # Public, and read by clients that run in pages of any origin.
        return JSONResponse(document, headers={"Access-Control-Allow-Origin": "*", "Cache-Control": "max-age=300"})

    def _is_key(self, credentials: str) -> bool:
        """With tokens about, a key is what has the form of one; so no token, however broken, is taken for a key."""
        if self._verifier is None:
            return not tokens.looks_like_token(credentials)
        return credentials.startswith(KEY_PREFIX)

    async def _holder(self, visit: Visit, token: str, verifier: Verifier) -> Caller | Response:
        resource = metadata.resource_path(visit.path)
        if resource is None:
            return problem(404, "not-found", "Not found", "there is no protected resource at this path")
        try:
            principal = await verifier.principal(token, f"{self._settings.public_url}{resource}")
        except TokenRefused as error:
            return self._unauthorized(visit, f"the access token is refused: {error}")
        except IssuerAway as error:
            detail = f"the access token cannot be checked: {error}; try again in a moment"
            return problem(503, "unavailable", "Unavailable", detail, {"Retry-After": str(RETRY_SECONDS)})
        return self._insufficient(visit, await self._missing(visit, principal)) or await self._vouched(visit, principal)

    async def _missing(self, visit: Visit, principal: Principal) -> str | None:
        """The right that the request needs and the token does not grant, as far as the request alone tells."""
        granted = self._granted(visit, principal.grants)
        if granted is None or granted >= set(RIGHTS):
            return None
        if not granted:
            return "read"
        needed = right_needed(await visit.body())
        return needed if needed is not None and needed not in granted else None

    def _granted(self, visit: Visit, grants: Grants) -> frozenset[str] | None:
        """The rights in the project of the request; ``None`` where only the tool can tell the project."""
        if not grants.rights:
            return frozenset()
        try:
            project = projects.choose(
                self._settings.isolation,
                self._settings.project,
                path=visit.path_project,
                header=visit.headers.get(HEADER),
            )
        except ProjectError:
            return None  # and the tool says what is wrong with it
        if project is None:
            project = grants.only()
        return grants.of(project) if isinstance(project, str) else None

    async def _vouched(self, visit: Visit, principal: Principal) -> Caller | Response:
        assert self._settings.service_key is not None, "held by the settings"
        if not await self._access.admits(self._settings.service_key.get_secret_value(), None):
            detail = "the API refuses this server's own key: whoever runs it has to set a valid MEMSYS_MCP_API_KEY"
            return problem(503, "unavailable", "Unavailable", detail)
        return _caller(visit, principal=principal)

    def _unauthorized(self, visit: Visit, detail: str, error: str | None = "invalid_token") -> Response:
        """401 with the challenge of RFC 6750 and, where tokens are taken, of RFC 9728."""
        way_in = "send the header 'Authorization: Bearer <key>' or 'X-API-Key: <key>'"
        if self._verifier is not None:
            way_in += ", or an access token for this address"
        challenge = metadata.challenge(
            self._metadata_url(visit),
            error=error,
            description=detail if error else None,
            scopes=self._scopes(visit.path_project),
        )
        return problem(401, "unauthorized", "Unauthorized", f"{detail}: {way_in}", {"WWW-Authenticate": challenge})

    def _insufficient(self, visit: Visit, missing: str | None) -> Response | None:
        if missing is None:
            return None
        detail = f"the access token does not grant the right to {missing} in this project"
        challenge = metadata.challenge(
            self._metadata_url(visit),
            error="insufficient_scope",
            description=detail,
            scopes=self._scopes(visit.path_project),
        )
        return problem(403, "insufficient-scope", "Forbidden", detail, {"WWW-Authenticate": challenge})

    def _metadata_url(self, visit: Visit) -> str | None:
        resource = metadata.resource_path(visit.path)
        if self._verifier is None or resource is None:
            return None
        return f"{self._settings.public_url}{metadata.WELL_KNOWN}{resource}"

    def _scopes(self, project: str | None) -> list[str]:
        """The scopes to ask for, where the address or the settings name the project."""
        project = project or self._settings.project
        if self._verifier is None or project is None or not projects.NAME.fullmatch(project):
            return []
        return [self._pattern.render(project, right) for right in RIGHTS]


def right_needed(body: bytes) -> str | None:
    """The right that a JSON-RPC message needs; ``None`` for what needs none, or is no message at all."""
    try:
        message = json.loads(body)
        method, name = message.get("method"), message.get("params", {}).get("name")
    except (ValueError, AttributeError, RecursionError):
        return None
    if method == "tools/call" and name in WRITES:
        return "write"
    return "read" if method in ("tools/call", "resources/read", "prompts/get") else None


def _caller(visit: Visit, *, key: str | None = None, principal: Principal | None = None) -> Caller:
    return Caller(key, principal, visit.path_project, visit.headers.get(HEADER), visit.request_id)


def _named(path: str) -> str | None:
    parts = path.split("/")
    return parts[2] if parts[1] == "p" else None
