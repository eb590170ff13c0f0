"""The erasure ledger: ids alone, one JSON object a line, kept where a restore of the database does not reach.

A restored backup lacks the erasures that came after it, and holds again what they removed. Whoever restores replays the
ledger: every erasure in it is carried out once more, on what was recorded before it was asked for.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson

from memsys_api.store.erasures import Erasure


@dataclass(frozen=True)
class Line:
    """One erasure as the ledger has it."""

    project: str
    id: UUID
    scope: dict[str, Any]
    requested_by: str
    requested_at: datetime
    recorded_before: datetime
    """What was recorded later is not meant."""


def written(erasure: Erasure) -> bytes:
    """An erasure as a line, with the line's end."""
    return (
        orjson.dumps(
            {
                "project": erasure.project,
                "id": erasure.id,
                "scope": erasure.scope,
                "requested_by": erasure.requested_by,
                "requested_at": erasure.requested_at,
                "recorded_before": erasure.recorded_before,
            }
        )
        + b"\n"
    )


def parsed(value: Mapping[str, Any]) -> Line:
    """A line that was read. Raises :class:`KeyError`, :class:`ValueError` or :class:`TypeError` for anything else."""
    return Line(
        project=str(value["project"]),
        id=UUID(value["id"]),
        scope=dict(value["scope"]),
        requested_by=str(value["requested_by"]),
        requested_at=datetime.fromisoformat(value["requested_at"]),
        recorded_before=datetime.fromisoformat(value["recorded_before"]),
    )


def newest(lines: Iterable[Line]) -> list[Line]:
    """Each erasure once: one that was interrupted while it was noted may have two lines."""
    return list({(line.project, line.id): line for line in lines}.values())


def append(path: Path, erasure: Erasure) -> None:
    """Add a line and have it on the disk before returning. Raises :class:`OSError`."""
    with _alone(path):
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        # A file object writes all of it or raises; a single call writes as much as a full disk has room for.
        with os.fdopen(descriptor, "ab") as file:
            # On a line of its own, also after a writer that died within one.
            file.write(b"\n" + written(erasure))
            file.flush()
            os.fsync(file.fileno())


def shorten(path: Path, since: datetime) -> None:
    """Drop the erasures that were asked for before then. Raises :class:`OSError`."""
    with _alone(path):
        kept = [raw for raw in _lines(path) if (line := _parsed(raw)) is not None and line.requested_at >= since]
        fresh = path.with_name(f"{path.name}.new")
        with fresh.open("wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.writelines(raw + b"\n" for raw in kept)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)


def read(path: Path) -> list[Line]:
    """All erasures of a file; a line that a crash has cut off counts for nothing. Raises :class:`OSError`."""
    return newest(line for raw in _lines(path) if (line := _parsed(raw)) is not None)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Be the only one that writes the file, among all replicas that share its folder."""
    descriptor = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines() if path.exists() else []


def _parsed(raw: bytes) -> Line | None:
    try:
        return parsed(orjson.loads(raw))
    except (KeyError, ValueError, TypeError):
        return None
