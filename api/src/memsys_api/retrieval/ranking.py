"""Puts candidates in order: one weighted sum of :mod:`~memsys_api.retrieval.signals` per memory. Pure.

One set of weights, and yet the mix follows the query: *text* counts what share of the question a memory's words cover,
by their rarity, so that a question whose words nobody used is ordered by meaning alone; *speaker*, *time* and *graph*
are nothing unless the question names a person, a time, a thing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields

import numpy as np
import numpy.typing as npt

from memsys_api.retrieval.signals import SIGNALS, signal_matrix
from memsys_api.retrieval.types import Candidate, Query, Ranked, Source


@dataclass(frozen=True, slots=True)
class Weights:
    """What each signal adds to the score when it is 1. Round on purpose: ``bench/`` shows how little they matter."""

    vector: float = 0.39
    """Cosine similarity, counted from that of unrelated texts: meaning, whatever the words."""
    text: float = 0.35
    """Coverage: the words of the question, rare ones above all."""
    before_1: float = 0.29
    """Coverage of the turn before: an answer follows the words of its question and rarely repeats them."""
    before_2: float = 0.17
    """The same, two turns before."""
    after_1: float = 0.14
    """Similarity of the turn after: people take up what was said."""
    after_2: float = 0.06
    """The same, two turns after."""
    speaker: float = 0.17
    """The question names a person, and that person said this."""
    question: float = -0.06
    """This itself is a question: it asks for the fact instead of holding it."""
    time: float = 0.12
    """The question names a time, and this was said then, or close to it."""
    graph: float = 0.06
    """The graph connects this to what the question names."""
    same: float = 1.0
    """This is, word for word, what was asked for: nothing that stands around another memory outweighs that."""

    def array(self) -> npt.NDArray[np.float64]:
        """The weights in the order of :data:`~memsys_api.retrieval.signals.SIGNALS`."""
        return np.array(astuple(self))


assert tuple(field.name for field in fields(Weights)) == SIGNALS
DEFAULT_WEIGHTS = Weights()


def rank(
    query: Query,
    candidates: Sequence[Candidate],
    *,
    top_k: int,
    threshold: float | None = None,
    vector_baseline: float = 0.0,
    weights: Weights = DEFAULT_WEIGHTS,
) -> list[Ranked]:
    """Return the best ``top_k`` candidates, best first; equal ones newest first, then by id.

    ``threshold`` drops scores below it. ``vector_baseline`` is the cosine of unrelated texts under the embedder at
    hand (see :func:`~memsys_api.retrieval.calibration.baseline`).
    """
    parts = signal_matrix(query, candidates, vector_baseline=vector_baseline) * weights.array()
    totals = parts.sum(axis=1).round(9)
    # Sorting in Python costs more than all the rest: only those that can be among the best are sorted.
    enough = np.partition(totals, -top_k)[-top_k] if 0 < top_k < len(candidates) else -np.inf
    order = sorted(
        np.flatnonzero(totals >= enough).tolist(),
        key=lambda index: (-totals[index], -candidates[index].event_time.timestamp(), candidates[index].id),
    )
    ranked = []
    for index in order[:top_k]:
        score = float(min(1.0, max(0.0, totals[index])))
        if threshold is not None and score < threshold:
            break
        named = {name: float(part) for name, part in zip(SIGNALS, parts[index], strict=True) if part}
        ranked.append(Ranked(candidates[index], score, named, _sources(candidates[index])))
    return ranked


def _sources(candidate: Candidate) -> tuple[Source, ...]:
    sources: list[Source] = []
    if candidate.vector_score is not None:
        sources.append("vector")
    if candidate.text_score > 0:
        sources.append("text")
    if candidate.graph_score is not None:
        sources.append("graph")
    return tuple(sources)
