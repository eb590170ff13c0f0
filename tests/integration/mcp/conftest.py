from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

import pytest

import memsys
from tests.support.cache import cache, held
from tests.support.issuer import Issuer

from ..support.postgres import Server, create_database, server
from .clients import Target
from .processes import Process, python_module, served
from .scripted_api import ScriptedApi

ADMIN_KEY = "msk_" + "a" * 12 + "_" + "b" * 32


@pytest.fixture(scope="session")
def model_dir() -> Path:
    """The built-in embedding model, exported once into the cache."""
    folder = cache() / "models" / "all-MiniLM-L6-v2"
    with held(folder):  # does nothing where it is exported already
        subprocess.run([sys.executable, "-m", "memsys_api.embedding.export_minilm", str(folder)], check=True)
    return folder


@contextmanager
def run_api(model_dir: Path, log: Path, **settings: str) -> Iterator[Process]:
    """The API on a PostgreSQL of its own, with its built-in embedder and no graph."""
    with server() as database:
        create_database(database, "memsys")
        with run_api_on(database, model_dir, log, **settings) as process:
            yield process


@contextmanager
def run_api_on(
    database: Server, model_dir: Path, log: Path, port: int | None = None, **settings: str
) -> Iterator[Process]:
    """The API on the database `memsys` of a server that outlives it."""
    with python_module(
        "memsys_api",
        log,
        "/readyz",
        port,
        DATABASE_URL=database.url("memsys_app", "memsys"),
        DATABASE_OWNER_URL=database.url("memsys_owner", "memsys"),
        GRAPH_STORE="none",
        MEMSYS_MODEL_DIR=str(model_dir),
        MEMSYS_ADMIN_KEY=ADMIN_KEY,
        **settings,
    ) as process:
        yield process


@pytest.fixture(scope="session")
def real_api(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """The API that most tests share."""
    with run_api(model_dir, tmp_path_factory.mktemp("api") / "log") as process:
        yield process


@pytest.fixture(scope="session")
def real_mcp(real_api: Process, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """The MCP server in front of the real API, in its default mode."""
    log = tmp_path_factory.mktemp("mcp") / "log"
    with python_module("memsys_mcp", log, "/readyz", MEMSYS_API_URL=real_api.url) as process:
        yield process


@pytest.fixture(scope="session")
def admin(real_api: Process) -> Iterator[memsys.Client]:
    with memsys.Client(real_api.url, ADMIN_KEY) as client:
        yield client


@pytest.fixture
def target(real_mcp: Process, real_api: Process, admin: memsys.Client) -> Target:
    """A project nobody used before, and a key for it alone."""
    project = f"p-{uuid.uuid4().hex[:10]}"
    key = admin.create_key("test", projects=[project]).key
    return Target(real_mcp.url, real_api.url, key, project)


@pytest.fixture
def scripted() -> Iterator[tuple[ScriptedApi, str]]:
    """An API that does what a test tells it to, and its address."""
    api = ScriptedApi()
    with served(api.app()) as url:
        yield api, url


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    """An authorization server."""
    found = Issuer()
    with served(found.app()) as url:
        found.url = url
        yield found


class StartMcp(Protocol):
    def __call__(self, api_url: str, **settings: str) -> Process: ...


@pytest.fixture
def start_mcp(tmp_path: Path) -> Iterator[StartMcp]:
    """Start MCP servers with the settings a test needs."""
    with ExitStack() as stack:

        def start(api_url: str, **settings: str) -> Process:
            log = tmp_path / f"mcp-{uuid.uuid4().hex[:6]}.log"
            return stack.enter_context(python_module("memsys_mcp", log, "/healthz", MEMSYS_API_URL=api_url, **settings))

        yield start
