"""A memsys of the measurement's own: PostgreSQL, Neo4j and the API as processes on 127.0.0.1, ended with it."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from memsys_api.embedding.model_files import locate
from tests.integration.support.postgres import create_database, free_port, server
from tests.support.neo4j_server import neo4j_server

READY_SECONDS = 120.0
DURABLE = {"max_connections": "200", "shared_buffers": "256MB", "maintenance_work_mem": "256MB"}
"""What is acknowledged is on disk; memory as in crds/samples/complete.yaml."""


@dataclass(frozen=True)
class System:
    """Where the parts are. ``database`` is PostgreSQL as the superuser, ``owner`` and ``app`` by its roles."""

    api: str
    key: str
    database: str
    owner: str
    app: str


@contextmanager
def system(*, graph: bool = True) -> Iterator[System]:
    """A running memsys with the built-in embedder and no language model, with or without the graph."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="memsys-bench-")))
        postgres = stack.enter_context(server(settings=DURABLE))
        create_database(postgres, "memsys")
        key, port = secrets.token_hex(16), free_port()
        environment = {
            "DATABASE_URL": postgres.url("memsys_app", "memsys"),
            "DATABASE_OWNER_URL": postgres.url("memsys_owner", "memsys"),
            "MEMSYS_ADMIN_KEY": key,
            "MEMSYS_HOST": "127.0.0.1",
            "MEMSYS_PORT": str(port),
            "MEMSYS_MODEL_DIR": str(locate(None).graph.parent),
            "MEMSYS_LOG_LEVEL": "WARNING",
        }
        if graph:
            neo4j = stack.enter_context(neo4j_server())
            environment |= {
                "GRAPH_STORE": "neo4j",
                "NEO4J_URI": neo4j.uri,
                "NEO4J_USER": neo4j.user,
                "NEO4J_PASSWORD": neo4j.password,
            }
        url = f"http://127.0.0.1:{port}"
        stack.enter_context(process(["-m", "memsys_api"], f"{url}/readyz", folder / "api.log", environment))
        roles = environment["DATABASE_OWNER_URL"], environment["DATABASE_URL"]
        yield System(url, key, postgres.url("postgres", "memsys"), *roles)


@contextmanager
def process(
    arguments: list[str],
    ready: str,
    log: Path,
    environment: Mapping[str, str] | None = None,
    *,
    cores: Collection[int] | None = None,
    listening: bool = False,
) -> Iterator[None]:
    """A Python process that runs until the end of the block, on these ``cores`` alone where they are given.

    It is ready when the address ``ready`` answers with success; with ``listening``, when it answers at all. Raises when
    that does not come in time, with the process's log.
    """
    with log.open("wb") as output:
        running = subprocess.Popen(
            [sys.executable, *arguments], env={**os.environ, **(environment or {})}, stdout=output, stderr=output
        )
    try:
        if cores is not None:
            os.sched_setaffinity(running.pid, cores)
        _wait(running, ready, log, listening)
        yield
    finally:
        running.terminate()
        running.wait(60)


def _wait(running: subprocess.Popen[bytes], ready: str, log: Path, listening: bool) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            if httpx.get(ready, timeout=5).is_success or listening:
                return
        except httpx.TransportError:
            pass
        if running.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{ready} is not ready:\n{log.read_text()[-2000:]}")
        time.sleep(0.1)
