"""A disk of limited size that can be filled."""

from __future__ import annotations

import errno
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_CHUNK = 64 * 1024


@dataclass(frozen=True)
class Disk:
    """A mounted tmpfs."""

    folder: Path

    @contextmanager
    def filled(self) -> Iterator[None]:
        """Take every byte that is left; give them back at the end."""
        ballast = self.folder / "ballast"
        try:
            with ballast.open("wb", buffering=0) as file:
                for size in (_CHUNK, 1):
                    try:
                        while True:
                            file.write(b"\0" * size)
                    except OSError as error:
                        if error.errno != errno.ENOSPC:
                            raise
            yield
        finally:
            ballast.unlink(missing_ok=True)


@contextmanager
def disk(megabytes: int) -> Iterator[Disk]:
    """A disk of this size, unmounted at the end."""
    folder = Path(tempfile.mkdtemp(prefix="memsys-disk-"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=755", "memsys-faults", folder], check=True)
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
        os.rmdir(folder)
