"""The ledger of erasures on a disk that is full."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

from memsys_api.erasing import ledger

from .conftest import Dsn, Fleet
from .support.dump import tables
from .support.erasing import done

FULL = 32 * 1024 * 1024  # more than anything else that is written meanwhile


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond so many bytes: what reaches over is cut off, as on a full disk."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


async def test_a_line_that_fits_in_part_is_not_taken_for_written(fleet: Fleet, dsn: Dsn, tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    async with fleet.replica(MEMSYS_ERASURE_LEDGER=str(path)) as api:
        await api.add("of ann", user_id="ann")
        path.touch()
        os.truncate(path, FULL)
        with room_for(FULL + 40):
            answer = await api.client.post("/erasures", json={"user_id": "ann"})
            assert (answer.status_code, answer.json()["step"]) == (202, "note")
            assert "File too large" in answer.json()["waits_for"]
            assert len(tables(dsn.superuser)["memory_versions"]) == 1
        receipt = await done(api, answer.json()["id"])
    assert [line.id for line in ledger.read(path)] == [UUID(receipt["id"])]
