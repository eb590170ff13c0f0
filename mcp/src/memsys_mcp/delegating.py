"""How far the server's own key may reach for somebody that it vouches for. Pure."""

from __future__ import annotations

import memsys
from memsys_mcp.oauth.grants import ANY_PROJECT, Principal
from memsys_mcp.projects import HEADER, ProjectError


def delegate(principal: Principal, project: str | None) -> memsys.Delegation:
    """The scope for one request in a project; ``None`` where the connection names none.

    It names that one project with the rights in it, so that a right in one project is none in another. Raises
    :class:`ProjectError` where the principal has no right there, or where it is not clear where "there" is.
    """
    chosen = project or principal.grants.only()
    if chosen is None:
        raise ProjectError(
            "the access token grants several projects, and the server does not guess: connect to /p/<project>/mcp, or "
            f"send the header '{HEADER}: <project>'"
        )
    rights = principal.grants.of(chosen)
    if not rights:
        raise ProjectError(
            f"the access token does not grant the project {chosen!r}; calling again will not help: ask the user to "
            "sign in with access to it"
        )
    return memsys.Delegation(principal.name, (chosen,), tuple(sorted(rights)), user_id=principal.user_id)


def on_behalf(api: memsys.AsyncClient, service_key: str, delegation: memsys.Delegation) -> memsys.AsyncClient:
    """The API by the server's own key, within a delegation as :func:`delegate` makes it."""
    only = delegation.projects[0]
    return api.with_options(key=service_key, delegation=delegation, project=None if only == ANY_PROJECT else only)
