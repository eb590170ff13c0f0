"""The mark of a cache folder, by the convention that backup tools know (bford.info/cachedir).

`clean` removes the whole folder, so it must be sure that MEMSYS_CACHE does not name somebody's home.
"""

from pathlib import Path

from .errors import ClusterError

TAG = "CACHEDIR.TAG"
SIGNATURE = "Signature: 8a477f597d28d172789f06886806bc55"


def mark(folder: Path) -> None:
    """Makes the folder and marks it as a cache."""
    tag = folder / TAG
    if not tag.exists():
        folder.mkdir(parents=True, exist_ok=True)
        tag.write_text(f"{SIGNATURE}\n# Made by memsys; everything in here can be made again.\n")


def check(folder: Path) -> None:
    """Raises ClusterError unless the folder carries the mark."""
    tag = folder / TAG
    if not (tag.exists() and tag.read_text().startswith(SIGNATURE)):
        raise ClusterError(f"{folder} has no {TAG}, so it may hold other things than a cache: remove it by hand")
