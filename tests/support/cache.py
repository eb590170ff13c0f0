"""Where downloads and built things are kept."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def cache() -> Path:
    return Path(os.environ.get("MEMSYS_CACHE", Path.home() / ".cache" / "memsys"))


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Make the folder and keep every other process out of it."""
    folder.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
