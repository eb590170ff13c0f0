"""Programs and libraries from npm, installed once into the cache from the locks beside this file."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from tests.support.cache import cache, held

LOCKS = Path(__file__).parent
INSTALL_SECONDS = 900
#: As the machine gave it: tests lead their clients through proxies of their own, on which no registry lies.
ENVIRONMENT = dict(os.environ)


def sets() -> list[str]:
    """The names of all sets."""
    return sorted(lock.parent.name for lock in LOCKS.glob("*/package-lock.json"))


def installed(name: str) -> Path:
    """The folder with the programs of a set; a Node.js that is in the set is among them."""
    npm = shutil.which("npm")
    assert npm, "npm is not installed; on Debian: apt-get install npm"
    files = sorted(file for file in (LOCKS / name).iterdir() if file.is_file())
    key = hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()[:12]
    folder = cache() / "npm" / f"{name}-{key}"
    with held(folder):
        if not (folder / "complete").exists():
            print(f"npm: installing the locked set {name} into {folder}", flush=True)
            for file in files:
                shutil.copy(file, folder)
            subprocess.run(
                [npm, "ci", "--no-audit", "--no-fund", "--loglevel=error"],
                cwd=folder,
                env=ENVIRONMENT,
                stdout=subprocess.DEVNULL,
                timeout=INSTALL_SECONDS,
                check=True,
            )
            (folder / "complete").touch()
    return folder / "node_modules" / ".bin"
