"""A project of any size goes out and in through an API process whose memory stays as it is."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import httpx
import orjson
import psycopg
import pytest

from tests.support.scripted_llm import ScriptedLLM

from .conftest import ADMIN_KEY, Dsn, until_ready
from .support.postgres import free_port

MIB = 1024 * 1024
ROWS, LINES = 50_000, 10_000
TEXT = "x" * 1_000
MOST_GROWTH = 24 * MIB
"""Less than half of what is exported here, and about what some pages of rows and the allocator's slack take."""


@pytest.fixture
def llm() -> Iterator[ScriptedLLM]:
    with ScriptedLLM() as server:
        yield server


@contextmanager
def _process(dsn: Dsn, llm: ScriptedLLM, log: Path) -> Iterator[tuple[httpx.Client, int]]:
    """The API as a process of its own with a model of eight dimensions, once it is ready; and the process's id."""
    port = free_port()
    environment = {
        **{name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ},
        "DATABASE_URL": dsn.app,
        "DATABASE_OWNER_URL": dsn.owner,
        "MEMSYS_ADMIN_KEY": ADMIN_KEY,
        "MEMSYS_HOST": "127.0.0.1",
        "MEMSYS_PORT": str(port),
        "EMBEDDER_PROVIDER": "openai",
        "EMBEDDER_MODEL": "tiny",
        "EMBEDDER_DIMENSIONS": str(llm.dimensions),
        "EMBEDDER_BASE_URL": llm.openai_url,
        "EMBEDDER_API_KEY": "any",
    }
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-m", "memsys_api"], env=environment, stdout=output, stderr=output)
    try:
        base = f"http://127.0.0.1:{port}"
        headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
        with httpx.Client(base_url=base, headers=headers, timeout=120) as client:
            until_ready(base)
            yield client, process.pid
    finally:
        process.terminate()
        process.wait(30)


def _resident(pid: int) -> int:
    """Bytes of memory that a process holds."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _lines(first: int, count: int) -> bytes:
    word = {"verdict": "NEGATIVE", "reason": TEXT[:100]}
    lines = [{"id": str(UUID(int=n)), "memory": f"{n} {TEXT}", "feedback": word} for n in range(first, first + count)]
    return b"".join(orjson.dumps(line) + b"\n" for line in lines)


@pytest.mark.timeout(300)
def test_an_export_and_an_import_take_no_memory_for_what_they_move(
    bare_dsn: Dsn, llm: ScriptedLLM, tmp_path: Path
) -> None:
    with _process(bare_dsn, llm, tmp_path / "log") as (client, pid):
        header = orjson.dumps({"format": "memsys-export", "version": 1, "heads": False}) + b"\n"
        sizes: list[int] = []

        def file() -> Iterator[bytes]:
            yield header
            for first in range(0, LINES, 1_000):
                yield _lines(first, 1_000)
                sizes.append(_resident(pid))
            yield orjson.dumps({"end": True, "versions": LINES}) + b"\n"

        report = (client.post("/import", content=file())).json()
        assert (report["imported"], report["feedback"], report["complete"]) == (LINES, LINES, True), report
        warm = sizes[2]  # by then every part has been used
        assert max(sizes[2:]) - warm < MOST_GROWTH, sizes

        with psycopg.connect(bare_dsn.superuser) as conn:
            conn.execute(
                """INSERT INTO memory_versions (project, id, version, state, seq, text, hash, metadata, provenance,
                                                event_time, created_at, recorded_from, lexemes)
                   SELECT 'default', gen_random_uuid(), 1, 'active', 1000000 + n, n || ' ' || %s, 'h', '{}', '{}',
                          now(), now(), now(), '' FROM generate_series(1, %s) n""",
                (TEXT, ROWS),
            )
            conn.execute(
                """INSERT INTO feedback (project, memory_id, version, verdict, reason, actor)
                   SELECT project, id, version, 'POSITIVE', %s, 'admin' FROM memory_versions
                   WHERE (project, id) NOT IN (SELECT project, memory_id FROM feedback)""",
                (TEXT[:100],),
            )
            conn.execute("ANALYZE")
        received, lines, judged, before, largest = 0, 0, 0, _resident(pid), 0
        with client.stream("GET", "/export") as answer:
            assert answer.status_code == 200
            for chunk in answer.iter_bytes():
                received += len(chunk)
                lines += chunk.count(b"\n")
                judged += chunk.count(b'"verdict"')
                largest = max(largest, _resident(pid))
        assert lines == LINES + ROWS + 2
        assert judged > ROWS, "each line has one, and few are cut in two by a chunk's end"
        assert received > 2 * MOST_GROWTH
        assert largest - before < MOST_GROWTH, (before, largest)
