"""One command at a time per cluster or cache; the kernel drops the lock of a killed command."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .progress import say


@contextmanager
def exclusive(path: Path, what: str) -> Iterator[None]:
    """Holds an exclusive lock on `path`, saying so when another command has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"  … waiting for another command that holds {what}")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
