"""Puts candidates in order. One weighted sum per memory, every term of which is explained in :class:`Weights`. Pure.

The terms are kept on absolute scales, not ranks or z-scores of the list at hand: a list's spread depends on how it
was cut, and a fusion of ranks throws away how good the best are. So the mix follows the query by itself: *coverage*
says how much of what the question asks, by rarity of its words, a memory holds, and a question whose words the project
does not know gets its order from meaning alone; *speaker*, *time* and *graph* exist only for a query that names some.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from memsys_api.extraction import normalise
from memsys_api.retrieval.types import Candidate, Query, Ranked, Source, TimeRange

REACH = 2
"""How many turns before and after a memory speak for or against it."""


@dataclass(frozen=True, slots=True)
class Weights:
    """What a full signal (1.0) adds to the score. They are round on purpose.

    Fitted on three long conversations, each time with one left out, the optimum moves by more than the rounding.
    """

    vector: float = 0.39
    """Cosine similarity, counted from that of unrelated texts: meaning, whatever the words."""
    text: float = 0.41
    """Coverage: the words of the question, rare ones above all."""
    before: tuple[float, ...] = (0.29, 0.17)
    """Coverage of the turns 1 and 2 before: an answer follows the words of its question, and rarely repeats them."""
    after: tuple[float, ...] = (0.14, 0.06)
    """Similarity of the turns 1 and 2 after: people take up what was said."""
    speaker: float = 0.17
    """The question names a person, and that person said this."""
    question: float = -0.06
    """This itself is a question: it asks for the fact instead of holding it."""
    time: float = 0.12
    """The question names a time, and this was said then, or close to it."""
    graph: float = 0.06
    """The graph connects this to what the question names."""


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
    """Return the best ``top_k`` candidates, best first; equal scores in order of time, newest first, then by id.

    ``threshold`` drops scores below it. ``vector_baseline`` is the cosine of unrelated texts under the embedder at
    hand (see :func:`~memsys_api.retrieval.calibration.baseline`); similarities are counted from there.
    """
    meanings = [_similarity(candidate.vector_score, vector_baseline) for candidate in candidates]
    named = set(query.entities)
    places = {
        (candidate.run, candidate.turn): index
        for index, candidate in enumerate(candidates)
        if candidate.run is not None and candidate.turn is not None
    }
    ranked = []
    for index, candidate in enumerate(candidates):
        parts = {
            "vector": weights.vector * meanings[index],
            "text": weights.text * candidate.text_score,
            "speaker": weights.speaker * _is_named(candidate.speaker, named),
            "question": weights.question * candidate.text.rstrip().endswith("?"),
        }
        if candidate.run is not None and candidate.turn is not None:
            parts["before"] = sum(
                weight * candidates[at].text_score
                for distance, weight in enumerate(weights.before, 1)
                if (at := places.get((candidate.run, candidate.turn - distance))) is not None
            )
            parts["after"] = sum(
                weight * meanings[at]
                for distance, weight in enumerate(weights.after, 1)
                if (at := places.get((candidate.run, candidate.turn + distance))) is not None
            )
        if query.time_range is not None:
            parts["time"] = weights.time * _closeness(candidate, query.time_range)
        if candidate.graph_score is not None:
            parts["graph"] = weights.graph * candidate.graph_score
        score = min(1.0, max(0.0, sum(parts.values())))
        if threshold is None or score >= threshold:
            ranked.append((score, candidate, parts))
    ranked.sort(key=lambda one: (-sum(one[2].values()), -one[1].event_time.timestamp(), one[1].id))
    return [
        Ranked(candidate, score, {name: part for name, part in parts.items() if part}, _sources(candidate))
        for score, candidate, parts in ranked[:top_k]
    ]


def _is_named(speaker: str | None, named: set[str]) -> bool:
    """Whether the query names the speaker, in full or by the first name."""
    key = normalise(speaker) if speaker else ""
    return bool(key) and (key in named or key.split()[0] in named)


def _similarity(cosine: float | None, baseline: float) -> float:
    """0 for what is unrelated, 1 for the same. A memory without an embedding counts as unrelated."""
    return 0.0 if cosine is None else max(0.0, (cosine - baseline) / (1.0 - baseline))


def _closeness(candidate: Candidate, wanted: TimeRange) -> float:
    """1 inside the range; outside, halved with every half length of the range, and every week at least.

    People tell things days after they happened, and plan them before.
    """
    if wanted.start <= candidate.event_time < wanted.end:
        return 1.0
    gap = max(wanted.start - candidate.event_time, candidate.event_time - wanted.end).total_seconds()
    half_life = max((wanted.end - wanted.start).total_seconds() / 2, 7 * 86_400.0)
    return math.exp2(-gap / half_life)


def _sources(candidate: Candidate) -> tuple[Source, ...]:
    sources: list[Source] = []
    if candidate.vector_score is not None:
        sources.append("vector")
    if candidate.text_score > 0:
        sources.append("text")
    if candidate.graph_score is not None:
        sources.append("graph")
    return tuple(sources)
