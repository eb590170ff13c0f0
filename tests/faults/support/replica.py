"""One replica of the API: a process of its own in a network namespace of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.support.process_tree import signal_tree

from .network import Node

PORT = 8000
START_SECONDS = 60


@dataclass
class Replica:
    """``python -m memsys_api``."""

    name: str
    node: Node
    settings: Mapping[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://{self.node.address}:{PORT}"

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start it and wait until it is alive, which it is before its databases are."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MEMSYS_")}
        listening = {"MEMSYS_HOST": self.node.address, "MEMSYS_PORT": str(PORT), "MEMSYS_SECRETS_DIR": "/nonexistent"}
        with self.log.open("ab") as log:
            process = self.process = subprocess.Popen(
                [sys.executable, "-m", "memsys_api"],
                env={**kept, **listening, **self.settings},
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=self.node.enter,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._alive():
            if process.poll() is not None:
                raise RuntimeError(f"{self.name} ended with {process.returncode}:\n{self.log.read_text()[-3000:]}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.name} is not alive after {START_SECONDS} s")
            time.sleep(0.05)

    def _alive(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthz", timeout=1).is_success
        except httpx.TransportError:
            return False

    def kill(self) -> None:
        """End it at once."""
        process = self.process  # whoever looks after it may have started the next one before this returns
        if process is not None and process.poll() is None:
            process.kill()
            process.wait()

    def terminate(self, seconds: float = 30) -> int:
        """Ask it to end, as Kubernetes does first, and wait for that; its exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(seconds)

    def pause(self) -> None:
        assert self.process is not None
        signal_tree(self.process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        assert self.process is not None
        signal_tree(self.process.pid, signal.SIGCONT)

    def resident(self) -> tuple[int, int]:
        """Its process id and how much memory it holds, in bytes."""
        assert self.process is not None
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return self.process.pid, pages * os.sysconf("SC_PAGE_SIZE")
