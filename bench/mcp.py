"""The MCP server beside a bare one, and beside the reference memory server: ``python -m bench.mcp --data FILE``.

The same FastMCP client everywhere. Each round asks every way once, in an order of its own: a change of the machine's
speed meets all of them alike, and none always finds the caches as the same other one left them. Memories are the turns
of a LoCoMo file, copied in PostgreSQL until there are enough, with noise on their vectors (see :mod:`bench.many`); the
reference server gets a file with as many entities of one observation each.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, ExitStack
from itertools import cycle, groupby, islice
from pathlib import Path

import httpx
import numpy as np
from fastmcp import Client
from fastmcp.client.transports import StdioTransport, StreamableHttpTransport

from bench.local import System, process, system
from bench.locomo import Turn, load
from bench.many import multiply
from memsys_api.embedding.cpu import available_cpus
from memsys_api.embedding.minilm import MiniLM
from memsys_api.embedding.model_files import locate
from memsys_api.settings.stores import StoreSettings
from memsys_api.store.generations import Generation
from memsys_api.store.vector_index import build_missing
from tests.integration.support.postgres import free_port
from tests.npm import installed

PROJECT = "bench"
CLIENTS = 50
CALLS_EACH = 10

MCP, HTTP, BARE = "search_memories over MCP", "the same search over HTTP", "bare FastMCP tool call"
MCP_STDIO, BARE_STDIO = "search_memories over MCP on stdio", "bare FastMCP tool call on stdio"
ADD, ADD_STDIO = "add_memory over MCP", "add_memory over MCP on stdio"
EMBEDDING = "embedding the text"
REFERENCE_SEARCH, REFERENCE_ADD = "server-memory: search_nodes", "server-memory: create_entities"

Way = Callable[[str], Awaitable[object]]


async def measure(turns: Sequence[Turn], memories: int, rounds: int) -> str:
    """Return the report as Markdown."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="memsys-bench-")))
        running = stack.enter_context(system(graph=False))
        generation = fill(running, turns, memories)
        # As the server would within five minutes.
        await build_missing(running.owner, generation, StoreSettings().vector_exact_rows)
        url = _served(stack, running, folder)
        bare = f"http://127.0.0.1:{free_port()}"
        port = bare.rpartition(":")[2]
        stack.enter_context(
            process(["-m", "bench.bare_tool", port], f"{bare}/mcp", folder / "bare.log", listening=True)
        )
        reference = _reference(folder, turns, memories)
        seconds = await _ask(running, f"{url}/p/{PROJECT}/mcp", f"{bare}/mcp", reference, turns[: 3 * rounds])
        crowd = await _crowd(f"{url}/p/{PROJECT}/mcp", running.key, turns)
    return f"{_table(seconds, memories)}\n\n{crowd}"


def fill(running: System, turns: Sequence[Turn], memories: int) -> Generation:
    """Put turns into :data:`PROJECT`, a session a request, and copies until there are about so many memories."""
    headers = {"Authorization": f"Bearer {running.key}", "X-Memsys-Project": PROJECT}
    with httpx.Client(base_url=running.api, headers=headers, timeout=120) as client:
        for session, group in groupby(turns, key=lambda turn: turn.session):
            said = [{"role": "user", "content": t.text, "name": t.speaker} for t in group]
            body = {"messages": said, "run_id": session, "infer": False}
            client.post("/memories", json=body).raise_for_status()
        embedder = client.get("/info").raise_for_status().json()["embedder"]
    multiply(running.database, PROJECT, max(0, round(memories / len(turns)) - 1))
    return Generation(1, embedder["provider"], embedder["model"], embedder["dimensions"], embedder["precision"])


def _served(stack: ExitStack, running: System, folder: Path) -> str:
    """The MCP server as a process on one core."""
    port = free_port()
    environment = {"MEMSYS_API_URL": running.api, "MEMSYS_HOST": "127.0.0.1", "MEMSYS_PORT": str(port)}
    url = f"http://127.0.0.1:{port}"
    stack.enter_context(process(["-m", "memsys_mcp"], f"{url}/readyz", folder / "mcp.log", environment, cores={0}))
    return url


def _on_stdio(running: System) -> StdioTransport:
    """The MCP server as a child of its client, as the reference server is."""
    environment = {
        "MEMSYS_API_URL": running.api,
        "MEMSYS_API_KEY": running.key,
        "MEMSYS_MCP_ISOLATION": "manual",
        "MEMSYS_MCP_PROJECT": PROJECT,
    }
    return StdioTransport(sys.executable, ["-m", "memsys_mcp", "--stdio"], env={**os.environ, **environment})


def _reference(folder: Path, turns: Sequence[Turn], memories: int) -> StdioTransport:
    """The reference server with a file of as many entities."""
    programs = installed("server-memory")
    lines = (
        json.dumps({"type": "entity", "name": f"e{number}", "entityType": "turn", "observations": [turn.text]})
        for number, turn in enumerate(islice(cycle(turns), memories))
    )
    file = folder / "memory.jsonl"
    file.write_text("\n".join(lines))
    return StdioTransport(
        str(programs / "mcp-server-memory"),
        [],
        env={"MEMORY_FILE_PATH": str(file), "PATH": f"{programs}:{os.environ['PATH']}"},
    )


async def _ask(
    running: System, url: str, bare: str, reference: StdioTransport, turns: Sequence[Turn]
) -> dict[str, list[float]]:
    headers = {"Authorization": f"Bearer {running.key}"}
    seconds: dict[str, list[float]] = {}
    async with AsyncExitStack() as stack:
        ours = await stack.enter_async_context(Client(StreamableHttpTransport(url, headers=headers)))
        empty = await stack.enter_async_context(Client(StreamableHttpTransport(bare)))
        piped = await stack.enter_async_context(Client(_on_stdio(running)))
        bare_pipe = StdioTransport(sys.executable, ["-m", "bench.bare_tool"], env=dict(os.environ))
        empty_pipe = await stack.enter_async_context(Client(bare_pipe))
        theirs = await stack.enter_async_context(Client(reference))
        model = MiniLM(locate(None), threads=available_cpus())
        http = await stack.enter_async_context(
            httpx.AsyncClient(base_url=running.api, headers={**headers, "X-Memsys-Project": PROJECT}, timeout=60)
        )
        added = iter(range(10**9))
        ways: list[tuple[str, Way]] = [
            (MCP, lambda text: ours.call_tool("search_memories", {"query": text})),
            (HTTP, lambda text: _posted(http, text)),
            (BARE, lambda text: empty.call_tool("echo", {"text": text})),
            (ADD, lambda text: ours.call_tool("add_memory", {"text": text})),
            (REFERENCE_SEARCH, lambda text: theirs.call_tool("search_nodes", {"query": text})),
            (
                REFERENCE_ADD,
                lambda text: theirs.call_tool(
                    "create_entities",
                    {"entities": [{"name": f"new{next(added)}", "entityType": "turn", "observations": [text]}]},
                ),
            ),
        ]
        # Apart, for whoever else runs in between empties the caches.
        on_stdio: list[tuple[str, Way]] = [
            (MCP_STDIO, lambda text: piped.call_tool("search_memories", {"query": text})),
            (BARE_STDIO, lambda text: empty_pipe.call_tool("echo", {"text": text})),
            (ADD_STDIO, lambda text: piped.call_tool("add_memory", {"text": text})),
            (EMBEDDING, lambda text: asyncio.to_thread(model.encode, [text])),
        ]
        # Words that occur, for a server that looks for them as they stand. A text that was asked before is in caches
        # that the second to ask it would profit from: searches over HTTP ask others.
        texts = [turn.text.split(".")[0] for turn in turns]
        orders = random.Random(0)
        for text, over_http in zip(texts[::3], texts[1::3], strict=False):
            for name, way in orders.sample(ways, len(ways)):
                started = time.perf_counter()
                await way(over_http if name == HTTP else text)
                seconds.setdefault(name, []).append(time.perf_counter() - started)
        for text in texts[2::3]:
            for name, way in orders.sample(on_stdio, len(on_stdio)):
                started = time.perf_counter()
                await way(text)
                seconds.setdefault(name, []).append(time.perf_counter() - started)
    return seconds


async def _posted(http: httpx.AsyncClient, text: str) -> object:
    return (await http.post("/search", json={"query": text})).raise_for_status().json()


async def _crowd(url: str, key: str, turns: Sequence[Turn]) -> str:
    """Many clients at once against the server on its one core."""

    async def one(number: int) -> int:
        transport = StreamableHttpTransport(url, headers={"Authorization": f"Bearer {key}"})
        async with Client(transport) as client:
            for turn in turns[number : number + CALLS_EACH]:
                await client.call_tool("search_memories", {"query": turn.text})
        return CALLS_EACH

    started = time.perf_counter()
    outcomes = await asyncio.gather(*(one(number) for number in range(CLIENTS)), return_exceptions=True)
    taken = time.perf_counter() - started
    failed = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    calls = sum(outcome for outcome in outcomes if isinstance(outcome, int))
    said = f"; the first: {failed[0]!r}" if failed else ""
    return (
        f"{CLIENTS} clients at once, the MCP server on one core: {calls} searches in {taken:.1f} s, "
        f"**{len(failed)} clients with an error**{said}."
    )


def _table(seconds: dict[str, list[float]], memories: int) -> str:
    p50 = {name: float(np.percentile(np.array(times) * 1000, 50)) for name, times in seconds.items()}
    lines = [f"| {memories:,} memories | p50 ms | p95 ms |", "| --- | --- | --- |"]
    for name, times in seconds.items():
        lines.append(f"| {name} | {p50[name]:.1f} | {np.percentile(np.array(times) * 1000, 95):.1f} |")
    hop = (p50[MCP] - p50[HTTP]) / p50[BARE]
    floor, piped_floor = p50[BARE] + p50[EMBEDDING], p50[BARE_STDIO] + p50[EMBEDDING]
    lines += [
        "",
        f"(search over MCP - over HTTP) / bare tool call = **{hop:.2f}** (wanted: at most 1.5). "
        f"server-memory's search / ours = **{p50[REFERENCE_SEARCH] / p50[MCP]:.1f}**, on stdio "
        f"{p50[REFERENCE_SEARCH] / p50[MCP_STDIO]:.1f} (wanted at 100,000: 20, that is "
        f"{p50[REFERENCE_SEARCH] / 20:.1f} ms); its add / ours = **{p50[REFERENCE_ADD] / p50[ADD]:.1f}**, on stdio "
        f"{p50[REFERENCE_ADD] / p50[ADD_STDIO]:.1f} (wanted at 100,000: 40, that is {p50[REFERENCE_ADD] / 40:.1f} ms). "
        f"A bare tool call and embedding the text take {floor:.1f} ms together, on stdio {piped_floor:.1f}.",
    ]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.mcp", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="a LoCoMo file; not part of this project")
    parser.add_argument("--memories", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=100, help="how often each way is asked")
    arguments = parser.parse_args()
    turns = [turn for conversation in load(arguments.data) for turn in conversation.turns]
    print(asyncio.run(measure(turns, arguments.memories, arguments.rounds)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
