"""Compiles the tools into the cache.

<cache>/tools/<name>-<version>-<key>/BINARY    immutable, written under a temporary name first
<cache>/bin/BINARY                             links to the current ones; goes on PATH
<cache>/go/                                    Go's own caches, so that an interrupted build resumes
"""

import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from . import cachefolder
from .commands import run_logged
from .locks import exclusive
from .paths import MODULES_DIR, cache_dir
from .prerequisites import require_go
from .progress import step
from .tools import Tool, folder_name, tool_key

GO_ENVIRONMENT = {
    "CGO_ENABLED": "0",
    "GOWORK": "off",
    # go.mod and go.sum are the lock: a build that would change them must fail.
    "GOFLAGS": "-mod=readonly -modcacherw -trimpath -buildvcs=false",
    # helm and others ask for a recent Go; an older one fetches it as a module.
    "GOTOOLCHAIN": "auto",
}


def bin_dir() -> Path:
    """The folder for PATH."""
    return cache_dir() / "bin"


def binary(name: str) -> Path:
    """The stable path of a compiled binary (which `ensure` has made)."""
    return bin_dir() / name


def ensure(tools: Iterable[Tool]) -> None:
    """Compiles those of `tools` that are not in the cache, in order, and links all of them into `bin/`.

    Raises:
        ClusterError: Go is missing, or a build failed (with the last lines of its log).
    """
    wanted = [(tool, _folder(tool)) for tool in tools]
    if all(_is_complete(tool, folder) and _is_linked(tool, folder) for tool, folder in wanted):
        return
    cachefolder.mark(cache_dir())
    with exclusive(cache_dir() / "build.lock", "the build of the cluster's binaries"):
        for tool, folder in wanted:
            if not _is_complete(tool, folder):
                require_go()
                with step(f"compile {tool.name} {tool.version} ({', '.join(tool.packages)})"):
                    _compile(tool, folder)
            _link(tool, folder)


def _folder(tool: Tool) -> Path:
    return cache_dir() / "tools" / folder_name(tool, tool_key(tool, _sources(tool)))


def _sources(tool: Tool) -> Mapping[str, bytes]:
    module = MODULES_DIR / tool.module
    return {str(path.relative_to(module)): path.read_bytes() for path in module.rglob("*") if path.is_file()}


def _is_complete(tool: Tool, folder: Path) -> bool:
    return all((folder / name).exists() for name in tool.packages)


def _is_linked(tool: Tool, folder: Path) -> bool:
    return all(os.path.realpath(bin_dir() / name) == os.path.realpath(folder / name) for name in tool.packages)


def _compile(tool: Tool, folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    go_caches = {"GOMODCACHE": str(cache_dir() / "go/mod"), "GOCACHE": str(cache_dir() / "go/build")}
    scratch = Path(tempfile.mkdtemp(prefix=f".{tool.name}-", dir=folder.parent))
    try:
        run_logged(
            ["go", "build", f"-ldflags={tool.ldflags}", "-o", f"{scratch}/", *tool.packages.values()],
            cache_dir() / "log" / f"build-{tool.name}.log",
            cwd=MODULES_DIR / tool.module,
            env={**GO_ENVIRONMENT, **go_caches},
        )
        for name, package in tool.packages.items():
            built = scratch / _go_output_name(package)
            built.rename(scratch / name)
        shutil.rmtree(folder, ignore_errors=True)
        scratch.chmod(0o755)
        scratch.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _go_output_name(package: str) -> str:
    """Go names a binary after its package's last element that is not a major version (`server/v3` -> `server`)."""
    parts = package.split("/")
    if len(parts) > 1 and parts[-1].startswith("v") and parts[-1][1:].isdigit():
        parts.pop()
    return parts[-1]


def _link(tool: Tool, folder: Path) -> None:
    bin_dir().mkdir(parents=True, exist_ok=True)
    for name in tool.packages:
        fresh = bin_dir() / f".{name}.{os.getpid()}"
        fresh.symlink_to(os.path.relpath(folder / name, bin_dir()))
        fresh.replace(bin_dir() / name)
