"""Programs from npm, installed once into the cache."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from .processes import cache, held

NODE = "node@22.23.3"  # what the programs need, whatever the machine has
INSTALL_SECONDS = 280


def installed(name: str, *packages: str) -> Path:
    """The folder with the programs of these packages (``name@version``)."""
    npm = shutil.which("npm")
    assert npm, "npm is not installed; on Debian: apt-get install npm"
    folder = cache() / "npm" / f"{name}-{'-'.join(package.rpartition('@')[2] for package in packages)}"
    with held(folder):
        if not (folder / "complete").exists():
            command = [npm, "install", "--no-audit", "--no-fund", "--prefix", str(folder), *packages]
            done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS)
            assert done.returncode == 0, done.stderr
            (folder / "complete").touch()
    return folder / "node_modules" / ".bin"


def run(
    programs: Path,
    *command: str,
    directory: Path,
    home: Path,
    variables: Mapping[str, str] | None = None,
    seconds: float = 100,
) -> str:
    """Run one of the programs in an environment of its own; give what it wrote. Fails where it does."""
    environment = {"PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(home), **(variables or {})}
    environment |= {"DISABLE_AUTOUPDATER": "1", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"}
    done = subprocess.run(
        [programs / command[0], *command[1:]],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=seconds,
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout
