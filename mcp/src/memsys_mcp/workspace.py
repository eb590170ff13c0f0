"""The client's workspace: asks it for its roots, and git for the remote of a local one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

import mcp_types
from fastmcp.server.context import Context
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from memsys_mcp import projects

ROOTS = "workspace"  # the name of our question among the input requests
CHANGED = "notifications/roots/list_changed"
ROOTS_TIMEOUT_SECONDS = 3.0
GIT_TIMEOUT_SECONDS = 3.0

logger = logging.getLogger(__name__)

QUESTION = mcp_types.InputRequiredResult(input_requests={ROOTS: mcp_types.ListRootsRequest()})
"""What a client of a protocol without a back-channel is answered, so that it calls again with its roots."""


async def roots(context: Context) -> Sequence[str] | mcp_types.InputRequiredResult:
    """The URIs of the client's roots; empty where it has none to tell; or the question to send it first."""
    session = context.session
    capabilities = session.client_capabilities
    if capabilities is None or capabilities.roots is None:
        return ()
    if session.protocol_version in MODERN_PROTOCOL_VERSIONS:
        answer = (context.input_responses or {}).get(ROOTS)
        return _uris(answer) if isinstance(answer, mcp_types.ListRootsResult) else QUESTION
    if not session.can_send_request:
        return ()
    try:
        answer = await session.send_request(
            mcp_types.ListRootsRequest(),
            mcp_types.ListRootsResult,
            request_read_timeout_seconds=ROOTS_TIMEOUT_SECONDS,
        )
    except MCPError as error:
        logger.warning("the client did not tell its roots: code %s", error.error.code)
        return ()
    return _uris(answer)


def stays(context: Context) -> bool:
    """Whether the roots can be believed until the client says that they changed, rather than asked for every time."""
    session = context.session
    if session.client_capabilities is None or session.client_capabilities.roots is None:
        return True  # there are none to change
    return session.protocol_version not in MODERN_PROTOCOL_VERSIONS and bool(
        session.client_capabilities.roots.list_changed
    )


async def local_project(directory: Path) -> str | None:
    """The project of a directory on this machine: its git remote, else the name of the repository or directory."""
    remote = await _git(directory, "remote", "get-url", "origin")
    if remote and (project := projects.from_remote(remote)):
        return project
    top = await _git(directory, "rev-parse", "--show-toplevel")
    return projects.from_directory(top or str(directory))


async def repository_project(directory: Path) -> str | None:
    """As :func:`local_project`, but ``None`` unless the directory is in a git repository."""
    top = await _git(directory, "rev-parse", "--show-toplevel")
    return await local_project(Path(top)) if top else None


async def projects_of(uris: Sequence[str], *, local: bool) -> list[str]:
    """The projects of roots. Only a ``local`` client's files are this machine's: no other path is ever looked at."""
    found = []
    for uri in uris:
        if local and uri.startswith("file:"):
            project = await local_project(Path(unquote(urlsplit(uri).path)))
        else:
            project = projects.from_root_uri(uri)
        if project:
            found.append(project)
    return found


def _uris(answer: mcp_types.ListRootsResult) -> list[str]:
    return [str(root.uri) for root in answer.roots]


async def _git(directory: Path, *arguments: str) -> str | None:
    """The output of a git command, or ``None`` where it fails or there is no git."""
    try:
        process = await asyncio.create_subprocess_exec(
            "git",
            "-C",
            str(directory),
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except FileNotFoundError:
        logger.warning("git is not installed; projects are named after directories")
        return None
    try:
        async with asyncio.timeout(GIT_TIMEOUT_SECONDS):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        logger.warning("git %s took longer than %s s", arguments[0], GIT_TIMEOUT_SECONDS)
        return None
    text = output.decode("utf-8", "replace").strip()
    return text if process.returncode == 0 and text else None
