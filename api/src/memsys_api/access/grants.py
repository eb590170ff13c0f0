"""What a caller may reach: pure rules from a key to a scope."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from memsys_api.model import Scope
from memsys_api.problems import FORBIDDEN, FieldError, ProblemError, invalid
from memsys_api.store.keys import Grant

Right = Literal["read", "write", "admin"]

DEFAULT_PROJECT = "default"
PROJECT_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,98}[a-z0-9])?")
PROJECT_PATTERN = f"^{PROJECT_NAME.pattern}$"
"""The same for JSON Schema, which looks for a pattern anywhere in a text."""
PROJECT_FORM = "1 to 100 of a-z, 0-9, '.', '_', '-', beginning and ending with a letter or digit"
PROJECT_HEADER = "X-Memsys-Project"
_NOT_GIVEN = "\x1f"
"""No Idempotency-Key that a request gives has it, so none is taken for one of a grant's own."""
SCOPE_IDS = ("user_id", "agent_id", "app_id", "run_id")


@dataclass(frozen=True)
class Caller:
    """Who makes a request. ``projects`` is ``None`` for the admin key of the settings: all of them."""

    name: str
    key_id: str
    projects: frozenset[str] | None
    default_project: str
    rights: frozenset[str]
    user_id: str | None = None
    agent_id: str | None = None
    app_id: str | None = None
    run_id: str | None = None
    expires_at: datetime | None = None
    requests_per_minute: int | None = None
    subject: str | None = None
    """On whose behalf the key's holder calls, by a signed scope."""

    @property
    def actor(self) -> str:
        """Who the audit trail names: the key, and for whom it was used."""
        return self.key_id if self.subject is None else f"{self.key_id} for {self.subject}"


@dataclass(frozen=True)
class Access:
    """A caller within one project: the only way to a scope."""

    caller: Caller
    project: str
    named: bool
    """Whether the request named the project itself."""

    @property
    def everywhere(self) -> bool:
        """Whether system-wide questions are about all projects: asked by the admin key without naming one."""
        return self.caller.projects is None and not self.named

    @property
    def asked_about(self) -> str | None:
        """The project that a system-wide question is about; ``None``: all of them."""
        return None if self.everywhere else self.project

    def whole(self) -> Access:
        """This, for what concerns the project as a whole. Raises ``forbidden`` for a key granted for a part of it."""
        if self.in_part:
            raise ProblemError(FORBIDDEN, "the key is granted for a part of the project, and this concerns all of it")
        return self

    @property
    def in_part(self) -> bool:
        """Whether the key is granted for a part of the project only."""
        return any(getattr(self.caller, field) is not None for field in SCOPE_IDS)

    def idempotency_key(self, given: str) -> str:
        """Under what a request's Idempotency-Key is known: a key that is granted for a part of the project has its own.

        It shares them with other keys of the same grant, so that a repetition is known when the key has been replaced
        meanwhile. The grant stands there as a digest: an erasure finds nobody's id in it.
        """
        if not self.in_part:
            return given
        granted = json.dumps([getattr(self.caller, field) for field in SCOPE_IDS])
        return f"{hashlib.sha256(granted.encode()).hexdigest()}{_NOT_GIVEN}{given}"

    def scope(
        self,
        user_id: str | None = None,
        agent_id: str | None = None,
        app_id: str | None = None,
        run_id: str | None = None,
    ) -> Scope:
        """The asked-for scope, narrowed to what the key grants. Raises a ``forbidden`` problem outside of it."""
        return Scope(
            self.project,
            _narrow("user_id", user_id, self.caller.user_id),
            _narrow("agent_id", agent_id, self.caller.agent_id),
            _narrow("app_id", app_id, self.caller.app_id),
            _narrow("run_id", run_id, self.caller.run_id),
        )


def _narrow(field: str, asked: str | None, granted: str | None) -> str | None:
    if granted is None or asked == granted:
        return asked
    if asked is None:
        return granted
    raise ProblemError(
        FORBIDDEN,
        f"{field}: the key is granted for another {field}",
        errors=[FieldError(field, "is outside the key's scope; leave it out or use the granted one")],
    )


def enter(caller: Caller, asked: str | None, right: Right) -> Access:
    """Let a caller into a project with a right.

    Raises ``invalid-request`` for a name no project can have, ``forbidden`` without the right, and for any other
    project than the key's the same ``forbidden``, whether or not it exists.
    """
    if asked is not None and not PROJECT_NAME.fullmatch(asked):
        raise invalid(PROJECT_HEADER, f"is not a project name: {PROJECT_FORM}")
    project = asked or caller.default_project
    if caller.projects is not None and project not in caller.projects:
        raise ProblemError(
            FORBIDDEN,
            f"{PROJECT_HEADER}: the key does not grant this project",
            errors=[FieldError(PROJECT_HEADER, "is not among the key's projects")],
        )
    if right not in caller.rights:
        raise ProblemError(FORBIDDEN, f"the key has no {right} right")
    return Access(caller, project, named=asked is not None)


def beyond(caller: Caller, grant: Grant) -> list[FieldError]:
    """What a key would grant beyond the caller's own key, by field; nothing: the caller may make it and hold it."""
    if caller.projects is None:
        return []
    found = []
    if not caller.projects.issuperset(grant.projects):
        found.append(FieldError("projects", "must be among the caller's own"))
    for field in SCOPE_IDS:
        granted = getattr(caller, field)
        if granted is not None and getattr(grant, field) != granted:
            found.append(FieldError(field, "is outside the caller's own scope"))
    if not caller.rights.issuperset(grant.rights):
        found.append(FieldError("rights", "must be among the caller's own"))
    if caller.expires_at is not None and (grant.expires_at is None or grant.expires_at > caller.expires_at):
        found.append(FieldError("expires_at", "must not be later than the caller's own"))
    limit = caller.requests_per_minute
    if limit is not None and (grant.requests_per_minute is None or grant.requests_per_minute > limit):
        found.append(FieldError("requests_per_minute", "must not be more than the caller's own"))
    return found
