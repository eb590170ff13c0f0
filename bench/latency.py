"""Latency on a LoCoMo file, everything in one run: ``python -m bench.latency --data FILE``.

Each question is asked once of each way to answer it, one after another in turns, over one connection each, so that a
change of the machine's speed meets all of them alike. A search is held against what it cannot do without: embedding
the query, one plain vector query, one empty HTTP call. mem0 runs as a library, without any HTTP at all.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import cycle, groupby
from pathlib import Path

import httpx
import numpy as np
import psycopg

from bench.local import System, process, system
from bench.locomo import Conversation, load
from bench.mem0_peer import NAME as MEM0
from bench.mem0_peer import Peer, mem0
from memsys_api.embedding.cpu import available_cpus
from memsys_api.embedding.minilm import MiniLM
from memsys_api.embedding.model_files import locate
from tests.integration.support.postgres import free_port

DEPTH = 10
SINGLE_ADDS = 300
BARE_SQL = """
    SELECT m.id, m.text, m.metadata, m.event_time FROM embeddings_1 e
    JOIN memory_versions m ON m.project = e.project AND m.id = e.memory_id AND m.version = e.version
    WHERE e.project = %s AND e.head ORDER BY e.embedding <=> %s::halfvec LIMIT %s
"""

Seconds = dict[str, list[float]]
SEARCH, EMBEDDING, SQL, HOP = "memsys: search over HTTP", "query embedding", "bare vector SQL", "bare FastAPI hop"


class Ways:
    """The ways to answer a question, and how long each took."""

    def __init__(
        self, running: System, hop: str, peer: Peer, connection: psycopg.Connection[tuple[object, ...]]
    ) -> None:
        self._http = httpx.Client(base_url=running.api, headers={"Authorization": f"Bearer {running.key}"}, timeout=60)
        self._hop = httpx.Client(base_url=hop, timeout=60)
        self.peer = peer
        self._connection = connection
        self._model = MiniLM(locate(None), threads=available_cpus())
        self.seconds: Seconds = {}

    def remember(self, conversation: Conversation) -> Iterator[tuple[str, float, int]]:
        """Add a conversation to memsys, a session a request, and to mem0; yields what was done, how long, how many."""
        for session, group in groupby(conversation.turns, key=lambda turn: turn.session):
            said = [{"role": "user", "content": turn.text, "name": turn.speaker} for turn in group]
            body = {"messages": said, "run_id": session, "infer": False}
            yield "memsys: a session a request", self._post("/memories", body, _project(conversation)), len(said)
        self.peer.remember(conversation)

    def add_singly(self, conversation: Conversation) -> Iterator[float]:
        """Add turns once more, elsewhere, one a request."""
        for turn in conversation.turns[:SINGLE_ADDS]:
            message = {"role": "user", "content": turn.text, "name": turn.speaker}
            yield self._post("/memories", {"messages": [message], "run_id": "single", "infer": False}, "single")

    def ask(self, conversation: Conversation) -> None:
        """Ask every question in every way, another way first each time."""
        ways: list[tuple[str, Callable[[str], object]]] = [
            (SEARCH, lambda text: self._post("/search", _query(text), _project(conversation))),
            (EMBEDDING, lambda text: self._model.encode([text])),
            (SQL, lambda text: self._select(_project(conversation), text)),
            (HOP, lambda text: self._hop.post("/search", json=_query(text)).raise_for_status()),
            (f"{MEM0}: search", lambda text: self.peer.search(conversation, text, DEPTH)),
        ]
        for question, first in zip(conversation.questions, cycle(range(len(ways))), strict=False):
            for name, way in ways[first:] + ways[:first]:
                self._vector = str(self._model.encode([question.text])[0].tolist()) if name == SQL else ""
                started = time.perf_counter()
                way(question.text)
                self.seconds.setdefault(name, []).append(time.perf_counter() - started)

    def _select(self, project: str, _: str) -> object:
        return self._connection.execute(BARE_SQL, (project, self._vector, DEPTH)).fetchall()

    def _post(self, path: str, body: dict[str, object], project: str) -> float:
        started = time.perf_counter()
        answer = self._http.post(path, json=body, headers={"X-Memsys-Project": project})
        taken = time.perf_counter() - started
        if answer.is_error:
            raise RuntimeError(f"{path} answered {answer.status_code}: {answer.text}")
        return taken


def _project(conversation: Conversation) -> str:
    return conversation.name.lower()


def _query(text: str) -> dict[str, object]:
    return {"query": text, "top_k": DEPTH}


@contextmanager
def ways() -> Iterator[Ways]:
    """Everything that is measured, running."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="memsys-bench-")))
        running = stack.enter_context(system())
        port = free_port()
        hop = f"http://127.0.0.1:{port}"
        stack.enter_context(process(["-m", "bench.bare_hop", str(port)], f"{hop}/readyz", folder / "hop.log"))
        connection = stack.enter_context(psycopg.connect(running.database, autocommit=True, prepare_threshold=0))
        peer = stack.enter_context(mem0(running.database, folder))
        yield Ways(running, hop, peer, connection)


def measure(conversations: Sequence[Conversation]) -> str:
    """Return the report as Markdown tables."""
    adds: dict[str, tuple[list[float], int]] = {}
    with ways() as all_ways:
        for conversation in conversations:
            for name, taken, count in all_ways.remember(conversation):
                times, total = adds.setdefault(name, ([], 0))
                adds[name] = ([*times, taken], total + count)
        single = list(all_ways.add_singly(conversations[0]))
        adds["memsys: a memory a request"] = (single, len(single))
        adds[f"{MEM0}: a memory a call"] = (all_ways.peer.add_seconds, len(all_ways.peer.add_seconds))
        for conversation in conversations:
            all_ways.ask(conversation)
        return f"{_adds(adds)}\n\n{_searches(all_ways.seconds)}"


def _adds(adds: dict[str, tuple[list[float], int]]) -> str:
    lines = ["| adds | memories/s | p50 ms | p95 ms |", "| --- | --- | --- | --- |"]
    for name, (times, count) in adds.items():
        p50, p95 = np.percentile(np.array(times) * 1000, [50, 95])
        lines.append(f"| {name} | {count / math.fsum(times):.0f} | {p50:.1f} | {p95:.1f} |")
    return "\n".join(lines)


def _searches(seconds: Seconds) -> str:
    lines = ["| searches | p50 ms | p95 ms | p99 ms |", "| --- | --- | --- | --- |"]
    medians = {}
    for name, times in seconds.items():
        p50, p95, p99 = np.percentile(np.array(times) * 1000, [50, 95, 99])
        medians[name] = p50
        lines.append(f"| {name} | {p50:.2f} | {p95:.2f} | {p99:.2f} |")
    floor = medians[EMBEDDING] + medians[SQL] + medians[HOP]
    lines += [
        "",
        f"p50 of a search / (embedding + SQL + hop): {medians[SEARCH]:.2f} / {floor:.2f} ms = "
        f"**{medians[SEARCH] / floor:.2f}**; / mem0's: **{medians[SEARCH] / medians[f'{MEM0}: search']:.2f}**",
    ]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.latency", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="a LoCoMo file; not part of this project")
    conversations = load(parser.parse_args().data)
    print(f"{sum(len(c.questions) for c in conversations)} questions", file=sys.stderr)
    print(measure(conversations))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
