"""Long-running processes: started once, recorded with pid and start time, stopped only when they are ours."""

import hashlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from .errors import ClusterError
from .progress import say

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Record:
    """What is remembered of a started process.

    A pid alone is reused by the kernel; together with the start time (clock ticks since boot) and
    the boot it names one process only. `fingerprint` tells whether it runs what is wanted now.
    """

    pid: int
    start_ticks: int
    boot_id: str
    fingerprint: str


def parse_record(text: str) -> Record | None:
    """Reads a record; None when the file was cut short by a crash or is of another make."""
    try:
        return Record(**json.loads(text))
    except (ValueError, TypeError):
        return None


def start_ticks(stat: str) -> int:
    """Field 22 of `/proc/PID/stat`; the command in field 2 may itself hold spaces and parentheses."""
    return int(stat.rpartition(")")[2].split()[19])


def is_zombie(stat: str) -> bool:
    """Whether `/proc/PID/stat` is of a process that has ended but was not reaped."""
    return stat.rpartition(")")[2].split()[0] in ("Z", "X")


def fingerprint(argv: Sequence[str], files: Mapping[str, bytes]) -> str:
    """Changes when the command line or a configuration file that it reads changes."""
    digest = hashlib.sha256(json.dumps(list(argv)).encode())
    for name in sorted(files):
        digest.update(f"\0{name}\0".encode() + files[name])
    return digest.hexdigest()[:16]


def is_running(record: Record | None) -> bool:
    """Whether the very process of the record still runs."""
    if record is None or record.boot_id != BOOT_ID.read_text().strip():
        return False
    try:
        stat = Path(f"/proc/{record.pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return start_ticks(stat) == record.start_ticks and not is_zombie(stat)


def load(pids: Path, name: str) -> Record | None:
    """The record of the process called `name`, or None."""
    try:
        return parse_record((pids / f"{name}.json").read_text())
    except FileNotFoundError:
        return None


def ensure(
    name: str,
    argv: Sequence[str | Path],
    *,
    pids: Path,
    log: Path,
    reads: Sequence[Path] = (),
    netns: Path | None = None,
    cgroup: Path | None = None,
) -> bool:
    """Starts a process unless it runs with the same command line and files already.

    Args:
        reads: configuration files and binaries; a change of them restarts the process.
        netns: the network namespace to run in.
        cgroup: the cgroup folder to run in, so that none of its descendants gets lost.

    Returns:
        True when it was (re)started.
    """
    command = [str(part) for part in argv]
    mark = fingerprint(command, {str(path): _identity(path) for path in (Path(command[0]), *reads)})
    record = load(pids, name)
    if record is not None and is_running(record):
        if record.fingerprint == mark:
            return False
        stop(pids, name)
    log.parent.mkdir(parents=True, exist_ok=True)
    pids.mkdir(parents=True, exist_ok=True)
    # The shell waits for the record to be written and ends if this command is killed before that,
    # so no process ever runs unrecorded. Joining the cgroup first means no child is born outside.
    join = ["/dev/null" if cgroup is None else str(cgroup / "cgroup.procs")]
    script = 'read -r _ && echo $$ > "$0" && exec "$@" < /dev/null'
    command = ["/bin/sh", "-c", script, *join, *command]
    if netns is not None:
        command = ["nsenter", f"--net={netns}", "--", *command]
    with log.open("a") as out:
        child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
    # Every wrapper above ends in exec, so the child's pid and start time are the program's own.
    stat = Path(f"/proc/{child.pid}/stat").read_text()
    fresh = Record(child.pid, start_ticks(stat), BOOT_ID.read_text().strip(), mark)
    _write_atomically(pids / f"{name}.json", json.dumps(asdict(fresh)))
    assert child.stdin is not None
    child.stdin.write(b"\n")
    child.stdin.close()
    return True


def _identity(path: Path) -> bytes:
    """A configuration file's content; for a binary, where it really is (its folder carries a content key)."""
    if os.access(path, os.X_OK):
        return os.path.realpath(path).encode()
    return path.read_bytes()


def stop(pids: Path, name: str, seconds: float = 10.0) -> None:
    """Asks the process to end, insists after `seconds` (0: at once), and forgets it. No other process is touched.

    Raises:
        ClusterError: it survived SIGKILL (it hangs in the kernel).
    """
    record = load(pids, name)
    if record is not None and is_running(record):
        _signal(record, signal.SIGTERM)
        if not _gone_within(record, seconds):
            if seconds > 0:
                say(f"    {name} did not end within {seconds:.0f} s of SIGTERM; killing it")
            _signal(record, signal.SIGKILL)
            if not _gone_within(record, 10.0):
                raise ClusterError(f"{name} (pid {record.pid}) survived SIGKILL: it hangs in the kernel")
    (pids / f"{name}.json").unlink(missing_ok=True)


def _signal(record: Record, number: signal.Signals) -> None:
    """Signals through a pidfd, so that a pid reused in this very moment is not hit."""
    try:
        handle = os.pidfd_open(record.pid)
    except ProcessLookupError:
        return
    try:
        if is_running(record):
            signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        pass
    finally:
        os.close(handle)


def _gone_within(record: Record, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while is_running(record):
        if time.monotonic() > deadline:
            return False
        _reap(record.pid)
        time.sleep(0.02)
    return True


def _reap(pid: int) -> None:
    """Collects the process if this very command started it; otherwise init does."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _write_atomically(path: Path, text: str) -> None:
    fresh = path.with_suffix(f".{os.getpid()}")
    fresh.write_text(text)
    fresh.replace(path)
