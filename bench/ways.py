"""A large project searched by a scan and through the indexes: ``python -m bench.ways --data FILE [--memories N]``.

The statements of the API, as its role, on the same memories (see :mod:`bench.many`). What the indexes find is
held against what comparing everything finds.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import numpy as np

from bench.local import system
from bench.locomo import Conversation, load
from bench.mcp import PROJECT, fill
from memsys_api import retrieval
from memsys_api.embedding.cpu import available_cpus
from memsys_api.embedding.minilm import MiniLM
from memsys_api.embedding.model_files import locate
from memsys_api.model import Scope
from memsys_api.ports import Vectors
from memsys_api.settings.stores import StoreSettings
from memsys_api.store.candidates import POOL, Way
from memsys_api.store.database import Database
from memsys_api.store.generations import Generation
from memsys_api.store.search import Found, ask_memories, candidates, read_memories
from memsys_api.store.sizes import ScopeSize, measure
from memsys_api.store.vector_index import build_missing

DEPTH = 10
_NUMBER = re.compile(r" \d+$")
QUESTIONS = 60
WAYS: tuple[Way, ...] = tuple(way for way in get_args(Way) if way != "filtered")


async def compare(conversations: Sequence[Conversation], count: int) -> str:
    """Return the report as Markdown."""
    turns = [turn for conversation in conversations for turn in conversation.turns]
    questions = [question.text for conversation in conversations for question in conversation.questions]
    questions = questions[:: max(1, len(questions) // QUESTIONS)][:QUESTIONS]
    model = MiniLM(locate(None), threads=available_cpus())
    vectors = np.concatenate([model.encode([question]) for question in questions])
    with system(graph=False) as running:
        generation = fill(running, turns, count)
        await build_missing(running.owner, generation, StoreSettings().vector_exact_rows)
        database = Database(running.app, size=2, timeout=60)
        await database.open()
        try:
            size = await measure(database, Scope(PROJECT), bound=StoreSettings().vector_exact_rows + 1)
            asked = [
                {way: await _ask(database, generation, size, question, vector, way) for way in WAYS}
                for _ in range(2)  # the first time warms up
                for question, vector in zip(questions, vectors, strict=True)
            ][len(questions) :]
        finally:
            await database.close()
    return _table(asked, count, size)


class _Answer:
    """What one way found, and how long it took."""

    def __init__(self, found: list[Found], texts: list[str], scores: list[float], seconds: float) -> None:
        by_meaning = sorted((one for one in found if one.cosine is not None), key=lambda one: -(one.cosine or 0.0))
        self.nearest = {one.id for one in by_meaning[:POOL]}
        self.texts = texts
        self.score = float(np.mean(scores))
        self.seconds = seconds


async def _ask(
    database: Database, generation: Generation, size: ScopeSize, question: str, vector: Vectors, way: Way
) -> _Answer:
    scope = Scope(PROJECT)
    started = time.perf_counter()
    async with database.transaction(PROJECT) as conn:
        found = await candidates(
            conn,
            generation,
            scope,
            query=question,
            embedding=vector,
            named=[],
            size=size,
            reach=retrieval.REACH,
            way=way,
            wanted=DEPTH,
        )
        seconds = time.perf_counter() - started
        ranked = retrieval.rank(
            retrieval.Query(question),
            [retrieval.Candidate(f.id, f.event_time, f.cosine, f.coverage, None, f.thread, f.turn) for f in found],
            top_k=DEPTH,
        )
        reading = await ask_memories(conn, scope, [one.candidate.id for one in ranked])
    whole = await read_memories(reading)
    # Copies of a turn differ by a number at their end: which of them is first says nothing.
    texts = [_NUMBER.sub("", whole[one.candidate.id].text) for one in ranked]
    return _Answer(found, texts, [one.score for one in ranked], seconds)


def _table(asked: Sequence[dict[Way, _Answer]], count: int, size: ScopeSize) -> str:
    near = [len(one["scan"].nearest & one["indexes"].nearest) / len(one["scan"].nearest) for one in asked]
    same = [len({*one["scan"].texts} & {*one["indexes"].texts}) / len({*one["scan"].texts}) for one in asked]
    score = [one["indexes"].score / one["scan"].score for one in asked]
    lines = [f"| {count:,} memories | candidates p50 ms | p95 ms |", "| --- | --- | --- |"]
    for way in WAYS:
        p50, p95 = np.percentile([one[way].seconds * 1000 for one in asked], [50, 95])
        lines.append(f"| {way} | {p50:.1f} | {p95:.1f} |")
    lines += [
        "",
        f"{len(asked)} questions. Of the {POOL} nearest by meaning, the indexes found **{np.mean(near):.3f}**; of the "
        f"{DEPTH} best answers by everything, as texts, **{np.mean(same):.3f}**, with **{np.mean(score):.3f}** of "
        f"their mean score. The sample took the project for {size.rows:,} memories.",
    ]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.ways", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="a LoCoMo file; not part of this project")
    parser.add_argument("--memories", type=int, default=100_000)
    arguments = parser.parse_args()
    print(asyncio.run(compare(load(arguments.data), arguments.memories)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
