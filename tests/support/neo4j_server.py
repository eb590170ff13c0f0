"""A real Neo4j 5.26 for tests: the jars that the image is made of, run by this machine's Java on free ports."""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

POM = Path(__file__).parents[2] / "images" / "bases" / "neo4j" / "pom.xml"
START_SECONDS = 120.0
STOP_SECONDS = 30.0
KILL_SECONDS = 5.0


class Neo4jServer:
    """One server process with its data in ``folder``. It can be stopped, killed and started again on the same ports.

    ``enter`` is called in the new process, for example to enter a network namespace that has the ``address``.
    """

    def __init__(
        self, folder: Path, lib: Path, *, address: str = "127.0.0.1", enter: Callable[[], None] | None = None
    ) -> None:
        self.address, self._enter = address, enter
        self.user, self.password = "neo4j", secrets.token_hex(16)
        self.bolt_port, self.http_port = free_port(), free_port()
        self._folder, self._lib = folder, lib
        self._process: subprocess.Popen[bytes] | None = None
        for name in ("conf", "data", "logs", "run", "plugins", "import", "licenses"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / "conf" / "neo4j.conf").write_text(
            f"""server.default_listen_address={address}
server.bolt.listen_address={address}:{self.bolt_port}
server.http.listen_address={address}:{self.http_port}
server.memory.heap.initial_size=256m
server.memory.heap.max_size=512m
server.memory.pagecache.size=64m
dbms.usage_report.enabled=false
"""
        )
        self._run("org.neo4j.server.startup.Neo4jAdminCommand", "dbms", "set-initial-password", self.password)

    @property
    def uri(self) -> str:
        return f"bolt://{self.address}:{self.bolt_port}"

    @property
    def running(self) -> bool:
        """Whether its process is there, answering or not."""
        return self._process is not None and self._process.poll() is None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server and return when it answers on Bolt. Raises when it ends, or takes over two minutes."""
        log = (self._folder / "logs" / "console.log").open("ab")
        process = self._process = subprocess.Popen(
            self._command("org.neo4j.server.startup.Neo4jCommand", "console"),
            stdout=log,
            stderr=subprocess.STDOUT,
            env=self._environment(),
            start_new_session=True,  # the launcher starts a second JVM: both end together
            preexec_fn=self._enter,
        )
        log.close()
        deadline = time.monotonic() + START_SECONDS
        while not _answers(self.address, self.bolt_port):
            if process.poll() is not None:  # by itself, or because somebody killed it meanwhile
                raise RuntimeError(f"Neo4j ended with code {process.returncode}:\n{self._console()}")
            if time.monotonic() > deadline:
                self.kill()
                raise TimeoutError(f"Neo4j did not listen on {self.uri} within {START_SECONDS:g} s:\n{self._console()}")
            time.sleep(0.1)

    def stop(self) -> None:
        """End it in order; kill it when that takes too long."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        process = self._process  # whoever looks after the server may have started the next one before this returns
        if process is not None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            _await_end(process.pid)
            if self._process is process:
                self._process = None

    def pause(self) -> None:
        """Let connections stand while nothing answers on them."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None, "the server was not started"
        os.killpg(self._process.pid, number)

    def _command(self, main: str, *arguments: str) -> list[str]:
        java = _need("java", "a Java runtime, version 17 or 21")
        return [java, "-cp", f"{self._lib}/*", "-Dapp.name=neo4j", f"-Dbasedir={self._folder}", main, *arguments]

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "NEO4J_HOME": str(self._folder), "NEO4J_CONF": str(self._folder / "conf")}

    def _run(self, main: str, *arguments: str) -> None:
        done = subprocess.run(
            self._command(main, *arguments), env=self._environment(), capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{main} failed:\n{done.stdout}{done.stderr}")

    def _console(self) -> str:
        return (self._folder / "logs" / "console.log").read_text(errors="replace")[-4000:]


@contextmanager
def neo4j_server() -> Iterator[Neo4jServer]:
    """A server that is up, with data that goes when it goes."""
    with tempfile.TemporaryDirectory(prefix="memsys-neo4j-") as folder, Neo4jServer(Path(folder), jars()) as server:
        yield server


def jars() -> Path:
    """Return the folder of Neo4j's jars, fetched with Maven into the cache the first time."""
    cache = Path(os.environ.get("MEMSYS_CACHE") or Path.home() / ".cache" / "memsys")
    folder = cache / "neo4j" / hashlib.sha256(POM.read_bytes()).hexdigest()[:16]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            staging = folder.with_suffix(".part")
            shutil.rmtree(staging, ignore_errors=True)
            options = [f"-Dmaven.repo.local={cache / 'maven'}", f"-DoutputDirectory={staging}"]
            command = [_need("mvn", "Maven"), "-q", "-B", "-f", str(POM), *options, "package"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"fetching Neo4j's jars failed: {' '.join(command)}\n{done.stdout}{done.stderr}")
            staging.rename(folder)
    return folder / "lib"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _answers(address: str, port: int) -> bool:
    """Whether Bolt's handshake is answered: the port is open a while before."""
    try:
        with socket.create_connection((address, port), timeout=1) as connection:
            connection.settimeout(2)
            connection.sendall(bytes.fromhex("6060b017 00000005 00000004 00000000 00000000".replace(" ", "")))
            return len(connection.recv(4)) == 4
    except OSError:
        return False


def _await_end(group: int) -> None:
    """Wait for the server itself, which its launcher's end says nothing about; the next one refuses to start before."""
    deadline = time.monotonic() + KILL_SECONDS
    with suppress(ProcessLookupError):
        while time.monotonic() < deadline:
            os.killpg(group, 0)
            time.sleep(0.02)


def _need(program: str, what: str) -> str:
    found = shutil.which(program)
    if found is None:
        raise RuntimeError(
            f"these tests need {what} as `{program}`; install it (Debian: openjdk-17-jre-headless, maven)"
        )
    return found
