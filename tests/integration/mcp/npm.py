"""Programs and libraries from npm, installed once into the cache from the locks in ``tests/npm``."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from .processes import cache, held

LOCKS = Path(__file__).parents[2] / "npm"
INSTALL_SECONDS = 280


def installed(name: str) -> Path:
    """The folder with the programs of one of the sets in ``tests/npm``; a Node.js that is in the set is among them."""
    npm = shutil.which("npm")
    assert npm, "npm is not installed; on Debian: apt-get install npm"
    files = sorted((LOCKS / name).iterdir())
    key = hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()[:12]
    folder = cache() / "npm" / f"{name}-{key}"
    with held(folder):
        if not (folder / "complete").exists():
            for file in files:
                shutil.copy(file, folder)
            command = [npm, "ci", "--no-audit", "--no-fund"]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_SECONDS)
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
    """Run one of the programs, or one of the machine's, in an environment of its own; give what it wrote.

    Fails where it does.
    """
    environment = {"PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(home), **(variables or {})}
    environment |= {"DISABLE_AUTOUPDATER": "1", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"}
    done = subprocess.run(
        command,
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=seconds,
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout
