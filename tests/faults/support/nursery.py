"""Replicas of the API that start within a moment: a process that has everything imported forks each of them.

Run as a program it is that process; one JSON object a line on its standard input starts a replica.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

READY_SECONDS = 120.0


@dataclass(frozen=True)
class Child:
    """One replica."""

    pid: int
    url: str

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)


class Nursery:
    """Starts replicas."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def start(self, port: int, **settings: str) -> Child:
        """Start one on a port of 127.0.0.1 and wait until it is ready."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = {"MEMSYS_HOST": "127.0.0.1", "MEMSYS_PORT": str(port), **settings}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        child = Child(int(self._process.stdout.readline()), f"http://127.0.0.1:{port}")
        deadline = time.monotonic() + READY_SECONDS
        # One client: each would read the machine's certificates anew, and take the time from the one that starts.
        with httpx.Client(base_url=child.url, timeout=2, trust_env=False, verify=False) as client:
            while not _ready(client):
                assert time.monotonic() < deadline, f"the API was not ready within {READY_SECONDS:g} s"
                time.sleep(0.02)
        return child


@contextmanager
def nursery() -> Iterator[Nursery]:
    """Its replicas end with it."""
    command = [sys.executable, "-m", "tests.faults.support.nursery"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Nursery(process)
        assert process.stdin is not None
        process.stdin.close()  # which ends it, and that ends its children
        process.wait(30)


def lasting_port() -> int:
    """A port that nobody listens on, and that no outgoing connection gets while nobody does."""
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        with socket.socket() as probe, suppress(OSError):
            port = random.randrange(first - 10_000, first)
            probe.bind(("127.0.0.1", port))
            return port


def _ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").is_success
    except httpx.TransportError:
        return False


def _serve(settings: dict[str, str]) -> None:
    """What :mod:`memsys_api.__main__` does, but for the embedder, which needs no model to be read."""
    import uvicorn

    from memsys_api import app, logs
    from memsys_api.assembling import Makers
    from memsys_api.settings import Settings
    from tests.integration.support.parts import WordEmbedder

    async def embedder(_: Settings) -> WordEmbedder:
        return WordEmbedder()

    loaded = Settings.model_validate(settings)
    logs.configure("ERROR")
    application = app.create(loaded, Makers(embedder=embedder))
    uvicorn.run(
        application,
        host=loaded.host,
        port=loaded.port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_config=None,
    )


def _main() -> None:
    import ctypes

    import neo4j  # noqa: F401
    import uvicorn  # noqa: F401

    import memsys_api.app  # noqa: F401
    import tests.integration.support.parts  # noqa: F401

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(2, 1)
            _serve(json.loads(line))
            os._exit(0)
        print(pid, flush=True)


if __name__ == "__main__":
    _main()
