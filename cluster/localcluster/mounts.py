"""Mounts left by kubelet and containerd under a cluster's folders."""

import re
from collections.abc import Iterable
from pathlib import Path

from .commands import run, succeeds
from .progress import say

MOUNTINFO = Path("/proc/self/mountinfo")


def mount_points(mountinfo: str) -> list[str]:
    """The mount points of `/proc/PID/mountinfo`, in the order they were mounted."""
    return [_unescape(line.split(" ")[4]) for line in mountinfo.splitlines()]


def of_type(mountinfo: str, filesystem: str) -> list[str]:
    """The mount points whose file system type is `filesystem`."""
    found = []
    for line in mountinfo.splitlines():
        fields, _, tail = line.partition(" - ")
        if tail.split(" ")[0] == filesystem:
            found.append(_unescape(fields.split(" ")[4]))
    return found


def under(points: Iterable[str], folder: Path) -> list[str]:
    """Those of `points` at or below `folder`, the last mounted first."""
    prefix = str(folder)
    return [point for point in reversed(list(points)) if point == prefix or point.startswith(f"{prefix}/")]


def unmount_under(folder: Path) -> None:
    """Unmounts everything at or below `folder`; a busy mount is detached and goes with its last user."""
    for point in under(mount_points(MOUNTINFO.read_text()), folder):
        if not succeeds(["umount", point]):
            say(f"    {point} is busy: detaching it")
            run(["umount", "--lazy", point])


def _unescape(field: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)
