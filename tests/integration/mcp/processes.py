"""Starting the product's processes and waiting until they serve."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import httpx
import uvicorn
from starlette.types import ASGIApp

START_SECONDS = 60
STOP_SECONDS = 15


@dataclass(frozen=True)
class Process:
    """A running server: where it listens, and what it wrote."""

    url: str
    log: Path
    handle: subprocess.Popen[bytes]

    def logged(self) -> str:
        return self.log.read_text()


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def clean_environment(**settings: str) -> dict[str, str]:
    """This process's environment without any setting of the product, and with these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MEMSYS_")}
    return {**kept, "MEMSYS_SECRETS_DIR": "/nonexistent", **settings}


@contextmanager
def python_module(
    module: str, log: Path, ready_path: str, port: int | None = None, **settings: str
) -> Iterator[Process]:
    """Run ``python -m module`` on a port of its own until it answers; stop it at the end."""
    port = port or free_port()
    environment = clean_environment(**{"MEMSYS_HOST": "127.0.0.1", "MEMSYS_PORT": str(port), **settings})
    with log.open("ab") as output:
        handle = subprocess.Popen([sys.executable, "-m", module], env=environment, stdout=output, stderr=output)
    process = Process(f"http://127.0.0.1:{port}", log, handle)
    try:
        wait_until(lambda: _answers(process, ready_path), f"{module} answers {ready_path}", START_SECONDS, process)
        yield process
    finally:
        handle.terminate()
        try:
            handle.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            handle.kill()
            handle.wait(STOP_SECONDS)


@contextmanager
def served(app: ASGIApp, port: int | None = None, loop: Literal["auto", "asyncio"] = "auto") -> Iterator[str]:
    """Serve an application from a thread of this process; on ``asyncio`` names are resolved by :mod:`socket`."""
    port = port or free_port()
    config = uvicorn.Config(app, port=port, loop=loop, log_level="warning", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: server.started, "the application is served", START_SECONDS)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(STOP_SECONDS)


def metrics_of(process: Process) -> str:
    """What the process tells Prometheus."""
    return httpx.get(f"{process.url}/metrics", timeout=10).raise_for_status().text


def wait_until(holds: Callable[[], bool], what: str, seconds: float, process: Process | None = None) -> None:
    """Wait for a condition; say which one, with the end of the log, where it does not come true."""
    deadline = time.monotonic() + seconds
    while not holds():
        if process is not None and process.handle.poll() is not None:
            raise AssertionError(f"exited with {process.handle.returncode} before: {what}\n{process.logged()[-3000:]}")
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}\n{process.logged()[-3000:] if process else ''}")
        time.sleep(0.05)


def _answers(process: Process, path: str) -> bool:
    try:
        return httpx.get(process.url + path, timeout=2).is_success
    except httpx.TransportError:
        return False
