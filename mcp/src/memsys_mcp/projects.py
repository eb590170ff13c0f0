"""Which project a request belongs to. Pure: what is known goes in, a project or a refusal with its remedy comes out.

This is convenience, not the wall. The wall is the caller's key, which the API holds against whatever project is asked
for here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from enum import Enum
from urllib.parse import unquote, urlsplit

NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,98}[a-z0-9])?")
NAME_RULE = "1 to 100 of a-z, 0-9, '.', '_', '-', beginning and ending with a letter or digit"
MAX_LENGTH = 100
HEADER = "X-Memsys-Project"
DIGEST_LENGTH = 10
_DIGESTED = re.compile(rf".*-[0-9a-f]{{{DIGEST_LENGTH}}}")


class Isolation(Enum):
    """How a server keeps projects apart."""

    AUTO = "auto"
    MANUAL = "manual"
    GLOBAL = "global"


class Ask(Enum):
    """The project is not in the request: the client's workspace has to be asked for."""

    WORKSPACE = "workspace"


class ProjectError(Exception):
    """No project can be told, or the one asked for is refused. The text says what to do."""


def validate(name: str, field: str) -> str:
    """Return ``name`` if it can be a project. Raises :class:`ProjectError` naming the field and the rule."""
    if not NAME.fullmatch(name):
        shown = name if len(name) <= 60 else name[:60] + "…"
        raise ProjectError(f"{field}: {shown!r} is not a project name; use {NAME_RULE}")
    return name


def choose(
    isolation: Isolation, fixed: str | None, *, path: str | None = None, header: str | None = None
) -> str | Ask | None:
    """The project of a request, from the server's mode and what the connection named.

    ``path`` is the name in ``/p/{project}/…``, ``header`` the one in ``X-Memsys-Project``. Returns a project, ``None``
    for the default project of the caller's key, or :data:`Ask.WORKSPACE`. Raises :class:`ProjectError`.
    """
    named = _named(path, header)
    if isolation is Isolation.AUTO:
        return named if named is not None else Ask.WORKSPACE
    if isolation is Isolation.MANUAL and fixed is None:
        if named is None:
            raise ProjectError(f"no project is named, and this server does not guess one: {_how_to_name_it()}")
        return named
    if named is not None and named != fixed:
        serves = f"the project {fixed!r}" if fixed else "one project shared by all"
        raise ProjectError(
            f"project: {named!r} was asked for, but this server serves {serves}; connect to /mcp (or /sse) and "
            f"send no {HEADER} header"
        )
    return fixed


def from_workspace(names: Sequence[str]) -> str:
    """The project of a client from the names of its open workspaces. Raises :class:`ProjectError` unless it is one."""
    distinct = sorted(set(names))
    if len(distinct) == 1:
        return distinct[0]
    if distinct:
        raise ProjectError(
            f"several workspaces are open ({', '.join(distinct)}), and the server does not guess: {_how_to_name_it()}"
        )
    raise ProjectError(
        f"the project is not known: this client names no workspace, and the server does not guess: {_how_to_name_it()}"
    )


def from_remote(url: str) -> str | None:
    """The project of a git remote, the same for every clone and every way of writing its address.

    ``git@github.com:Owner/Repo.git`` and ``https://user:token@github.com/owner/repo`` are both
    ``github.com.owner.repo``. Any other path, and one with dots in it, has a digest beside: ``owner/re.po`` and
    ``owner/re/po`` would be one otherwise. So has one that reads as if it had a digest already. ``None`` for a remote
    on the same machine, which names nothing that others share.
    """
    scp = re.fullmatch(r"(?:[^@/\s]+@)?([^:/\s]+):(?!//)(.+)", url.strip())
    if scp and len(scp[1]) > 1:  # one letter is a Windows drive
        host, path = scp[1], scp[2]
    else:
        parts = urlsplit(url.strip())
        if parts.scheme == "file" or not parts.hostname:
            return None
        host, path = parts.hostname, unquote(parts.path)
    path = path.strip("/").removesuffix(".git").strip("/")
    if not path:
        return None
    # Only two segments without dots can be told from the labels of the host once all are joined by dots.
    is_plain = re.fullmatch(r"[^/.]+/[^/.]+", path) and not _DIGESTED.fullmatch(path.casefold())
    return _name(f"{host}/{path}", ambiguous=not is_plain)


def from_directory(path: str) -> str | None:
    """The project of a directory without a remote: its own name. ``None`` for a root directory, which has none."""
    parts = [part for part in re.split(r"[/\\]+", path) if part]
    return _name(parts[-1]) if parts else None


def from_root_uri(uri: str) -> str | None:
    """The project of a workspace known by its URI alone (``file:///home/me/shop`` is ``shop``)."""
    return from_directory(unquote(urlsplit(uri).path))


def _named(path: str | None, header: str | None) -> str | None:
    by_path = None if path is None else validate(path, "path /p/{project}")
    by_header = None if header is None else validate(header, f"header {HEADER}")
    if by_path and by_header and by_path != by_header:
        raise ProjectError(
            f"the path names the project {by_path!r} and the header {HEADER} names {by_header!r}; send one of them"
        )
    return by_path or by_header


def _name(text: str, *, ambiguous: bool = False) -> str:
    """A project name for any text: readable, and with a digest wherever being readable would make two texts one.

    ``ambiguous``: the caller knows of another text that reads the same.
    """
    canonical = text.casefold()
    joined = canonical.replace("/", ".")
    if not ambiguous and NAME.fullmatch(joined):
        return joined
    readable = re.sub(r"[^a-z0-9._-]", "-", joined).strip("._-")
    digest = hashlib.sha256(canonical.encode()).hexdigest()[:DIGEST_LENGTH]
    stem = readable[: MAX_LENGTH - len(digest) - 1].strip("._-")
    return f"{stem}-{digest}" if stem else digest


def _how_to_name_it() -> str:
    return f"connect to /p/<project>/mcp (or /p/<project>/sse), or send the header '{HEADER}: <project>'"
