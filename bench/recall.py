"""Evidence recall on a LoCoMo file: ``python -m bench.recall --data FILE [--captions] [--paraphrased] [--api URL …]``.

recall@k of a question is the share of its evidence turns among the first k answers; the mean is over questions. Without
``--api`` everything runs in this process (see :mod:`bench.pools`); with it, the conversations go in through the API
and the answers come out of it.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from bench import mem0_peer
from bench.locomo import CATEGORIES, Conversation, Question, load
from bench.pools import Pool, Scores, maker
from memsys_api.retrieval import SIGNALS, Weights
from tests.integration.support.postgres import create_database, server

DEPTHS = (5, 10, 20)
RRF_CONSTANT = 60


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the report: recall at each depth, recall@10 of each category and each conversation."""

    name: str
    depths: tuple[float, ...]
    categories: tuple[float, ...]
    conversations: tuple[float, ...]


def recall(question: Question, answers: Sequence[str], depth: int) -> float:
    return len(question.evidence & set(answers[:depth])) / len(question.evidence)


def measure(name: str, results: Sequence[Sequence[tuple[Question, Sequence[str]]]]) -> Row:
    """Score the answers to each question of each conversation."""
    flat = [pair for conversation in results for pair in conversation]
    return Row(
        name,
        tuple(_mean(flat, depth) for depth in DEPTHS),
        tuple(_mean([pair for pair in flat if pair[0].category == category], 10) for category in CATEGORIES),
        tuple(_mean(conversation, 10) for conversation in results),
    )


def _mean(answered: Sequence[tuple[Question, Sequence[str]]], depth: int) -> float:
    """Mean recall; not a number when nothing was asked."""
    return float(np.mean([recall(*pair, depth) for pair in answered])) if answered else math.nan


def in_process(conversations: Sequence[Conversation], *, paraphrased: bool = False) -> Iterator[Row]:
    """The ranking beside what it is made of, each signal left out once, and weights fitted without the scored one."""
    from bench.fit import fit

    with maker() as made:
        pools = [made.pools(conversation, paraphrased=paraphrased) for conversation in conversations]

    def all_turns(conversation: int, scores: Scores) -> list[str]:
        turns = conversations[conversation].turns
        return [turns[index].id for index in np.argsort(-scores, kind="stable")[: max(DEPTHS)]]

    def scored(name: str, order: Callable[[int, Pool], list[str]]) -> Row:
        return measure(name, [[(pool.question, order(i, pool)) for pool in own] for i, own in enumerate(pools)])

    shipped = Weights().array()
    yield scored("dense only", lambda i, pool: all_turns(i, pool.dense))
    yield scored("words only (BM25)", lambda i, pool: all_turns(i, pool.words))
    yield scored("equal RRF of both", lambda i, pool: all_turns(i, _fused(pool)))
    if not paraphrased:
        yield measure(mem0_peer.NAME, _of_mem0(conversations))
    yield scored("memsys", partial(_order_by, shipped))
    for left_out in (
        ("speaker",),
        ("before_1", "before_2"),
        ("after_1", "after_2"),
        ("question",),
        ("time",),
        ("vector", "after_1", "after_2"),
        ("text", "before_1", "before_2"),
    ):
        kept = shipped * [signal not in left_out for signal in SIGNALS]
        yield scored(f"… without {', '.join(left_out)}", partial(_order_by, kept))
    columns = [column for column, signal in enumerate(SIGNALS) if signal != "graph"]
    if len(pools) > 1 and not paraphrased:
        others = [[pool for j, own in enumerate(pools) if j != i for pool in own] for i in range(len(pools))]
        fitted = [fit(rest, columns=columns) for rest in others]
        yield scored("… weights fitted to the other conversations", lambda i, pool: _order(pool, fitted[i]))


def _of_mem0(conversations: Sequence[Conversation]) -> list[list[tuple[Question, list[str]]]]:
    """mem0's answers to every question, as ids of turns."""
    with tempfile.TemporaryDirectory(prefix="memsys-bench-") as folder, server() as postgres:
        create_database(postgres, "mem0")
        with mem0_peer.mem0(postgres.url("postgres", "mem0"), Path(folder)) as peer:
            answers = []
            for conversation in conversations:
                turns = peer.remember(conversation)
                answers.append(
                    [
                        (question, [turns[found] for found in peer.search(conversation, question.text, max(DEPTHS))])
                        for question in conversation.questions
                    ]
                )
            return answers


def _order(pool: Pool, weights: Scores) -> list[str]:
    return [pool.turns[row] for row in np.argsort(-(pool.signals @ weights), kind="stable")[: max(DEPTHS)]]


def _order_by(weights: Scores, _: int, pool: Pool) -> list[str]:
    return _order(pool, weights)


def _fused(pool: Pool) -> Scores:
    """Reciprocal rank fusion, both lists alike."""
    fused = np.zeros(len(pool.dense))
    for scores in (pool.dense, pool.words):
        order = np.argsort(-scores, kind="stable")
        fused[order] += 1 / (RRF_CONSTANT + 1 + np.arange(len(order)))
    return fused


def table(conversations: Sequence[Conversation], rows: Sequence[Row]) -> str:
    """Return the report as a Markdown table."""
    heads = [
        "",
        *(f"@{depth}" for depth in DEPTHS),
        *(f"@10 {name}" for name in CATEGORIES.values()),
        *(f"@10 {conversation.name}" for conversation in conversations),
    ]
    lines = [heads, ["---"] * len(heads)]
    lines += [
        [row.name, *(f"{value:.3f}" for value in (*row.depths, *row.categories, *row.conversations))] for row in rows
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.recall", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="a LoCoMo file; not part of this project")
    parser.add_argument("--captions", action="store_true", help="let turns that show a picture say what is on it")
    parser.add_argument(
        "--paraphrased", action="store_true", help="count no word of a question that occurs in its evidence"
    )
    parser.add_argument("--api", help="URL of a running API: measure that instead")
    parser.add_argument("--key", help="its key; needs the rights read and write")
    arguments = parser.parse_args()
    conversations = load(arguments.data, captions=arguments.captions)
    print(
        f"{len(conversations)} conversations, {sum(len(c.turns) for c in conversations)} turns, "
        f"{sum(len(c.questions) for c in conversations)} questions with evidence",
        file=sys.stderr,
    )
    if arguments.api:
        from bench.over_api import over_api

        rows = [measure("memsys over its API", over_api(arguments.api, arguments.key, conversations))]
    else:
        rows = list(in_process(conversations, paraphrased=arguments.paraphrased))
    print(table(conversations, rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
