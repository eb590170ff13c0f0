"""Signals to a process and all that it started, as to a container as a whole: some put themselves into other groups."""

from __future__ import annotations

import os
import signal
import time
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


_GONE_SECONDS = 10.0


def kill_tree(root: int) -> None:
    """End all of them, and wait until none is left: what one holds, none can take before."""
    deadline = time.monotonic() + _GONE_SECONDS
    for pid in signal_tree(root, signal.SIGKILL):
        while _lives(pid):
            assert time.monotonic() < deadline, f"process {pid} outlives SIGKILL by {_GONE_SECONDS:g} s"
            time.sleep(0.002)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def signal_tree(root: int, number: signal.Signals) -> list[int]:
    """Send a signal to all of them at what is nearly one moment: none can start another meanwhile. Who they were."""
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
    return frozen
