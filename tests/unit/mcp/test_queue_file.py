"""The file behind the write queue: its bounds, and that it outlives its process."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from memsys_mcp.writequeue.file import QueueFile, QueueFull, QueueUnusable, QueueUnwritable

from .queueing import on_a_disk_of


def test_a_folder_has_one_server(tmp_path: Path) -> None:
    first = QueueFile(tmp_path, 1)
    with pytest.raises(QueueUnusable, match="in use by another server"):
        QueueFile(tmp_path, 1)
    first.close()
    QueueFile(tmp_path, 1).close()
    (tmp_path / "file").write_text("")
    with pytest.raises(QueueUnusable, match="cannot hold the queue"):
        QueueFile(tmp_path / "file", 1)


def test_parked_entries_count_until_their_time_is_up(tmp_path: Path) -> None:
    file = QueueFile(tmp_path, 1)
    file.park(file.put("o", {}, {}, "k"), "refused")
    with pytest.raises(QueueFull):
        file.put("o", {}, {}, "k2")
    assert file.drop_older(3600) == 0
    assert file.drop_older(-1) == 1
    assert file.counts() == (0, 0)
    file.put("o", {}, {}, "k2")


def test_the_file_has_a_bound_in_bytes_and_what_is_removed_makes_room(tmp_path: Path) -> None:
    file = QueueFile(tmp_path, 100, 1_000_000)
    taken = [file.put("o", {}, {"content": "x" * 90_000}, f"k{number}") for number in range(10)]
    with pytest.raises(QueueFull):
        file.put("o", {}, {"content": "x" * 90_000}, "one too many")
    assert (tmp_path / "writes.sqlite").stat().st_size < 1_000_000
    file.park(taken[0], "full, but this can still be said")
    file.remove(taken[1])
    file.put("o", {}, {"content": "x" * 90_000}, "again")


def test_what_was_taken_survives_the_process_that_took_it(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        try:
            QueueFile(tmp_path, 5).put("o", {"project": "p"}, {"content": "x"}, "k")
        finally:
            os.kill(os.getpid(), 9)  # no close, no clean-up
    os.waitpid(child, 0)
    found = QueueFile(tmp_path, 5).next_of("o")
    assert found is not None
    assert (found.request, found.address, found.idempotency_key) == ({"content": "x"}, {"project": "p"}, "k")


@pytest.mark.parametrize("pages", range(8, 16))
def test_a_full_disk_is_said_to_be_full_and_takes_again_what_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pages: int
) -> None:
    on_a_disk_of(monkeypatch, pages)
    file = QueueFile(tmp_path, 100)
    for number in range(2):
        with pytest.raises(QueueUnwritable, match="the queue's disk is full"):
            file.put("o", {}, {"content": "x" * 50_000}, f"k{number}")
    assert file.counts() == (0, 0)
    file.put("o", {}, {"content": "x"}, "short")
    assert file.counts() == (1, 0)


def test_what_cannot_be_written_for_another_reason_says_which(tmp_path: Path) -> None:
    file = QueueFile(tmp_path, 100)
    file.put("o", {}, {}, "k")
    other = sqlite3.connect(tmp_path / "writes.sqlite")
    other.executescript("DROP TABLE entries")
    with pytest.raises(QueueUnwritable, match=r"the queue cannot be written \(no such table: entries\)"):
        file.put("o", {}, {}, "k2")
