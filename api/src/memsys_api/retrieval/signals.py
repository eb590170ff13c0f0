"""What speaks for a memory, each on an absolute scale: about 0 for nothing, 1 for all one could wish. Pure.

Absolute scales, not ranks or z-scores of the list at hand: a list's spread depends on how it was cut, and ranks throw
away how good the best are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from memsys_api.extraction import normalise
from memsys_api.retrieval.types import Candidate, Query, TimeRange

REACH = 2
"""How many turns before and after a memory speak for or against it."""

SIGNALS = (
    "vector",
    "text",
    "before_1",
    "before_2",
    "after_1",
    "after_2",
    "speaker",
    "question",
    "time",
    "graph",
)
"""The columns of :func:`signals`; their meaning stands at :class:`~memsys_api.retrieval.ranking.Weights`."""

Signals = npt.NDArray[np.float64]

_WEEK = 7 * 86_400.0


def signals(query: Query, candidates: Sequence[Candidate], *, vector_baseline: float) -> Signals:
    """Return one row for each candidate with the columns :data:`SIGNALS`."""
    meaning = [_similarity(candidate.vector_score, vector_baseline) for candidate in candidates]
    words = [candidate.text_score for candidate in candidates]
    # A last row of nothing stands for the neighbour that a memory does not have.
    previous, following = _neighbours(candidates)
    around_words, around_meaning = np.array([*words, 0.0]), np.array([*meaning, 0.0])
    named = set(query.entities)
    said = {speaker: _is_named(speaker, named) for speaker in {candidate.speaker for candidate in candidates}}
    columns = [
        np.array(meaning),
        np.array(words),
        *(around_words[previous[distance]] for distance in range(REACH)),
        *(around_meaning[following[distance]] for distance in range(REACH)),
        np.array([said[candidate.speaker] for candidate in candidates], float),
        np.array([candidate.text.rstrip().endswith("?") for candidate in candidates], float),
        np.array([_closeness(candidate, query.time_range) for candidate in candidates]),
        np.array([candidate.graph_score or 0.0 for candidate in candidates]),
    ]
    return np.stack(columns, axis=1) if candidates else np.empty((0, len(SIGNALS)))


def _neighbours(candidates: Sequence[Candidate]) -> tuple[list[npt.NDArray[np.intp]], list[npt.NDArray[np.intp]]]:
    """For 1 … REACH turns before, and after: the index of that neighbour of each candidate, -1 where it has none."""
    places: dict[tuple[str | None, int], int] = {
        (candidate.run, candidate.turn): index
        for index, candidate in enumerate(candidates)
        if candidate.run is not None and candidate.turn is not None
    }

    def at(distance: int) -> npt.NDArray[np.intp]:
        found = [
            -1 if candidate.turn is None else places.get((candidate.run, candidate.turn + distance), -1)
            for candidate in candidates
        ]
        return np.array(found, np.intp)

    return [at(-distance) for distance in range(1, REACH + 1)], [at(distance) for distance in range(1, REACH + 1)]


def _similarity(cosine: float | None, baseline: float) -> float:
    """0 for what is unrelated, 1 for the same. A memory without an embedding counts as unrelated."""
    return 0.0 if cosine is None else max(0.0, (cosine - baseline) / (1.0 - baseline))


def _is_named(speaker: str | None, named: set[str]) -> bool:
    """Whether the query names the speaker, in full or by the first name."""
    key = normalise(speaker) if speaker else ""
    return bool(key) and (key in named or key.split()[0] in named)


def _closeness(candidate: Candidate, wanted: TimeRange | None) -> float:
    """1 inside the range; outside, halved with every half length of the range, and every week at least.

    People tell things days after they happened, and plan them before.
    """
    if wanted is None:
        return 0.0
    if wanted.start <= candidate.event_time < wanted.end:
        return 1.0
    gap = max(wanted.start - candidate.event_time, candidate.event_time - wanted.end).total_seconds()
    return math.exp2(-gap / max((wanted.end - wanted.start).total_seconds() / 2, _WEEK))
