"""What tests of the write queue share: an API that does as it is told, callers, and a queue."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

import memsys
from memsys.errors import problem
from memsys_mcp.binding import Bound
from memsys_mcp.caller import Caller
from memsys_mcp.metrics import QueueMetrics
from memsys_mcp.oauth.grants import Grants, Principal
from memsys_mcp.patience import Patience
from memsys_mcp.writequeue import file as file_module
from memsys_mcp.writequeue.file import QueueFile
from memsys_mcp.writequeue.queue import WriteQueue

KEY = "msk_" + "a" * 12 + "_" + "b" * 32
OWN = "msk_" + "s" * 12 + "_" + "t" * 32
ANN = Principal("https://issuer", "ann", "ann", Grants({"shop": frozenset({"read", "write"})}), "u-1")


ADDED = memsys.AddResults(results=())


class Api(memsys.AsyncClient):
    """Keeps what is added, as whom; raises ``failing`` instead while it is set."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:9")
        self.world: dict[str, Any] = {"added": [], "failing": None, "stored": asyncio.Event(), "answer": ADDED}

    async def add(self, content: Any, **options: Any) -> Any:
        failing = self.world["failing"]
        error = failing(content[0]["content"]) if callable(failing) else failing
        if error is not None:
            raise error
        self.world["added"].append((content[0]["content"], self._options, options))
        self.world["stored"].set()
        return self.world["answer"]

    @property
    def texts(self) -> list[str]:
        return [text for text, _, _ in self.world["added"]]


def request(text: str) -> dict[str, Any]:
    return {"content": [{"role": "user", "content": text}], "metadata": {"n": 1}}


def bound(caller: Caller, project: str | None = "shop") -> Bound:
    patience: Patience = None  # type: ignore[assignment] # nothing is waited for here
    return Bound(memsys.AsyncClient("http://127.0.0.1:9"), patience, caller, project)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def start(
    folder: Path,
    api: Api,
    *,
    limit: int = 10,
    knows: bool = True,
    keep: float = 3600,
    clock: Clock | None = None,
    registry: CollectorRegistry | None = None,
    only: Caller | None = None,
) -> WriteQueue:
    """A queue as of a server over HTTP, or as of one on stdio, whose one caller is ``only``."""
    return WriteQueue(
        QueueFile(folder, limit, shared=only is not None),
        api,
        QueueMetrics(registry or CollectorRegistry()),
        knows=lambda _: knows,
        keep_seconds=keep,
        service_key=OWN,
        only=only,
        clock=clock or Clock(),
    )


def writes(registry: CollectorRegistry, outcome: str) -> float | None:
    """How many writes became of this, by the metrics."""
    return registry.get_sample_value("memsys_mcp_queue_writes_total", {"outcome": outcome})


def answer(status: int, slug: str) -> memsys.ProblemError:
    return problem(status, json.dumps({"type": f"https://memsys.dev/problems/{slug}"}).encode())


async def drained(queue: WriteQueue) -> None:
    """Run the queue until it has nothing more to do by itself."""
    assert await queue.drain()


def token(project: str, rights: str = "read write", user: str | None = "u-1") -> Caller:
    grants = Grants({project: frozenset(rights.split())})
    return Caller(principal=Principal("https://issuer", "platform", "platform", grants, user))


async def listed(queue: WriteQueue, reader: Bound) -> list[str]:
    return [entry.request["content"][0]["content"] for entry in await queue.entries(reader, 100)]


def on_a_disk_of(monkeypatch: pytest.MonkeyPatch, pages: int) -> None:
    """Let files that are opened from now on find room for so many pages of 4 KiB and no more."""

    def connect(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection = sqlite3.connect(*arguments, **options)
        connection.execute(f"PRAGMA max_page_count = {pages}")
        return connection

    monkeypatch.setattr(file_module, "sqlite3", SimpleNamespace(**{**vars(sqlite3), "connect": connect}))
