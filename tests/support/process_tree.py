"""Signals to a process and all that it started, as to a container as a whole: some put themselves into other groups."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path


def tree(root: int) -> list[int]:
    """The process and its descendants, parents first."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with suppress(OSError):  # it has ended meanwhile
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(folder.name))
    found = [root]
    for pid in found:  # grows while it is walked
        found += children.get(pid, [])
    return found


def signal_tree(root: int, number: signal.Signals) -> None:
    """Send a signal to all of them at what is nearly one moment: none can start another meanwhile."""
    frozen: list[int] = []
    while set(now := tree(root)) - set(frozen):
        for pid in now:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        frozen = now
    if number != signal.SIGSTOP:
        for pid in frozen:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
                os.kill(pid, signal.SIGCONT)
