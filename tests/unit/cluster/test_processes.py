import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from localcluster import processes
from localcluster.processes import BOOT_ID, Record, fingerprint, is_running, is_zombie, parse_record, start_ticks

STAT = "42 (odd) name) S 1 42 42 0 -1 4194560 1 0 0 0 1 2 0 0 20 0 1 0 98765 1000 1 18446744073709551615\n"


def record_of(pid: int, mark: str = "f") -> Record:
    ticks = start_ticks(Path(f"/proc/{pid}/stat").read_text())
    return Record(pid, ticks, BOOT_ID.read_text().strip(), mark)


def test_the_start_time_is_read_past_a_command_with_spaces_and_parentheses() -> None:
    assert start_ticks(STAT) == 98765
    assert not is_zombie(STAT)
    assert is_zombie(STAT.replace(") S ", ") Z "))


@pytest.mark.parametrize("text", ["", "{", "[]", "42", '{"pid": 1}', '{"pid": 1, "surprise": 2}'])
def test_a_damaged_record_is_no_record(text: str) -> None:
    assert parse_record(text) is None


def test_only_the_process_of_this_pid_start_and_boot_counts_as_running() -> None:
    mine = record_of(os.getpid())
    assert is_running(mine)
    assert not is_running(None)
    assert not is_running(Record(mine.pid, mine.start_ticks + 1, mine.boot_id, "f"))
    assert not is_running(Record(mine.pid, mine.start_ticks, "another boot", "f"))


def test_the_fingerprint_follows_command_line_and_files() -> None:
    base = fingerprint(["a", "b"], {"/c": b"1"})
    assert base == fingerprint(["a", "b"], {"/c": b"1"})
    assert len({base, fingerprint(["a b"], {"/c": b"1"}), fingerprint(["a", "b"], {"/c": b"2"})}) == 3


def test_a_process_is_started_once_restarted_when_its_configuration_changes_and_stopped(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("one")
    pids, log = tmp_path / "pid", tmp_path / "log"

    def ensure() -> bool:
        return processes.ensure("sleeper", ["/bin/sleep", "600"], pids=pids, log=log, reads=[config])

    try:
        assert ensure()
        first = processes.load(pids, "sleeper")
        assert first is not None
        assert not ensure()
        config.write_text("two")
        assert ensure()
        second = processes.load(pids, "sleeper")
        assert second is not None
        assert second.pid != first.pid
        assert not is_running(first)
        assert is_running(second)
    finally:
        processes.stop(pids, "sleeper")
    assert not is_running(second)
    assert processes.load(pids, "sleeper") is None


def test_a_foreign_process_that_took_over_the_pid_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen(["/bin/sleep", "600"]) as foreign:
        try:
            theirs = record_of(foreign.pid)
            stale = {"pid": foreign.pid, "start_ticks": theirs.start_ticks - 1, "boot_id": theirs.boot_id}
            (tmp_path / "etcd.json").write_text(json.dumps({**stale, "fingerprint": "f"}))
            processes.stop(tmp_path, "etcd")
            assert is_running(theirs)
        finally:
            foreign.kill()


def test_a_process_that_ignores_the_request_to_end_is_killed(tmp_path: Path) -> None:
    pids, log = tmp_path / "pid", tmp_path / "log"
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
    )
    processes.ensure("stubborn", [sys.executable, "-c", stubborn], pids=pids, log=log)
    deadline = time.monotonic() + 20
    while "up" not in log.read_text():
        assert time.monotonic() < deadline, "the process never began to ignore SIGTERM"
        time.sleep(0.02)
    record = processes.load(pids, "stubborn")
    processes.stop(pids, "stubborn", seconds=0.2)
    assert not is_running(record)


def test_a_child_whose_starter_died_before_recording_it_never_runs(tmp_path: Path) -> None:
    """The starter is killed between fork and record: its child sees the pipe close and ends by itself."""
    mark = tmp_path / "ran"
    script = f"""
import os
from pathlib import Path
from localcluster import processes
processes._write_atomically = lambda *_: os.kill(os.getpid(), 9)
folder = Path({str(tmp_path)!r})
processes.ensure("p", ["/bin/sh", "-c", "touch {mark}"], pids=folder, log=folder / "log")
"""
    path = os.pathsep.join(sys.path)
    done = subprocess.run([sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": path}, timeout=20)
    assert done.returncode == -signal.SIGKILL
    assert not mark.exists()
