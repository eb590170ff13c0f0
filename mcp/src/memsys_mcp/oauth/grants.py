"""From the claims of a verified token to projects and rights. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from memsys_mcp.projects import NAME

ANY_PROJECT = "*"
RIGHTS = ("read", "write")
DEFAULT_PATTERN = "memsys:project:{project}:{right}"

_NONE: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Grants:
    """Rights by project; ``*`` stands for every project that the server's own key reaches."""

    rights: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def of(self, project: str) -> frozenset[str]:
        """The rights in one project."""
        return self.rights.get(project, _NONE) | self.rights.get(ANY_PROJECT, _NONE)

    def only(self) -> str | None:
        """The project (or ``*``), where exactly one is granted."""
        return next(iter(self.rights)) if len(self.rights) == 1 else None


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody with a good token, as far as this server needs to know. ``name`` is what the audit shows."""

    issuer: str
    subject: str
    name: str
    grants: Grants
    user_id: str | None = None


class ScopePattern:
    """How a scope names a project and a right: ``memsys:project:{project}:{right}``."""

    def __init__(self, pattern: str = DEFAULT_PATTERN) -> None:
        """Raises :class:`ValueError` unless each placeholder is there once and no blank is."""
        if pattern.count("{project}") != 1 or pattern.count("{right}") != 1 or re.search(r"\s", pattern):
            raise ValueError(f"{pattern!r} must hold {{project}} and {{right}} once each, and no blank")
        self._pattern = pattern
        places = {"{project}": rf"(?P<project>\*|{NAME.pattern})", "{right}": f"(?P<right>{'|'.join(RIGHTS)})"}
        parts = re.split(r"(\{project\}|\{right\})", pattern)
        self._form = re.compile("".join(places.get(part) or re.escape(part) for part in parts))

    def render(self, project: str, right: str) -> str:
        """The scope to ask for."""
        return self._pattern.replace("{right}", right).replace("{project}", project)

    def parse(self, scope: str) -> tuple[str, str] | None:
        """The project and the right that a scope names, or ``None`` for a scope of another kind."""
        match = self._form.fullmatch(scope)
        return (match["project"], match["right"]) if match else None


def read(claims: Mapping[str, Any], pattern: ScopePattern, projects_claim: str | None) -> Grants:
    """What the claims grant, by scopes (``scope`` or ``scp``) and, where set, by a claim that lists projects.

    An entry of that claim is ``name`` (read and write), ``name:read`` or ``name:write``. What is not understood grants
    nothing.
    """
    pairs = [pair for scope in _words(claims.get("scope", claims.get("scp"))) if (pair := pattern.parse(scope))]
    if projects_claim is not None:
        for entry in _words(claims.get(projects_claim)):
            name, _, right = entry.partition(":")
            if (name == ANY_PROJECT or NAME.fullmatch(name)) and right in ("", *RIGHTS):
                pairs += [(name, each) for each in ([right] if right else RIGHTS)]
    found: dict[str, frozenset[str]] = {}
    for project, right in pairs:
        found[project] = found.get(project, _NONE) | {right}
    return Grants(found)


def _words(value: object) -> list[str]:
    if isinstance(value, str):
        return value.split()
    return [entry for entry in value if isinstance(entry, str)] if isinstance(value, list) else []
