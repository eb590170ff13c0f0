"""What speaks for a memory, each on an absolute scale: about 0 for nothing, 1 for all one could wish. Pure.

Absolute scales, not ranks or z-scores of the list at hand: a list's spread depends on how it was cut, and ranks throw
away how good the best are.
"""

from __future__ import annotations

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
    "same",
)
"""The columns of :func:`signal_matrix`; their meaning stands at :class:`~memsys_api.retrieval.ranking.Weights`."""

Signals = npt.NDArray[np.float64]
Column = npt.NDArray[np.float64]

_WEEK = 7 * 86_400.0
_APART = 2**32


def signal_matrix(query: Query, candidates: Sequence[Candidate], *, vector_baseline: float) -> Signals:
    """Return one row for each candidate with the columns :data:`SIGNALS`."""
    meaning = _similarity(candidates, vector_baseline)
    words = np.array([candidate.text_score for candidate in candidates], float)
    # A last row of nothing stands for the neighbour that a memory does not have.
    previous, following = _neighbours(candidates)
    around_words, around_meaning = np.append(words, 0.0), np.append(meaning, 0.0)
    named = {*query.entities, *query.aliases}
    said = {speaker: _is_named(speaker, named) for speaker in {candidate.speaker for candidate in candidates}}
    columns = [
        meaning,
        words,
        *(around_words[previous[distance]] for distance in range(REACH)),
        *(around_meaning[following[distance]] for distance in range(REACH)),
        np.array([said[candidate.speaker] for candidate in candidates], float),
        np.array([candidate.asks for candidate in candidates], float),
        _closeness(candidates, query.time_range),
        np.array([candidate.graph_score or 0.0 for candidate in candidates]),
        np.array([candidate.same for candidate in candidates], float),
    ]
    return np.stack(columns, axis=1) if candidates else np.empty((0, len(SIGNALS)))


def _neighbours(candidates: Sequence[Candidate]) -> tuple[list[npt.NDArray[np.intp]], list[npt.NDArray[np.intp]]]:
    """For 1 … REACH turns before, and after: the index of that neighbour of each candidate, -1 where it has none."""
    if not candidates:
        return [np.empty(0, np.intp)] * REACH, [np.empty(0, np.intp)] * REACH
    # A number for each place: the runs stand far apart. A candidate without a turn of its own is nobody's neighbour,
    # and has none: it has a place of its own.
    runs: dict[str, int] = {}
    places = np.array(
        [
            -(index + 1) * _APART
            if one.run is None or one.turn is None
            else runs.setdefault(one.run, len(runs)) * _APART + one.turn
            for index, one in enumerate(candidates)
        ]
    )
    order = np.argsort(places, kind="stable")
    sorted_places = places[order]

    def at(distance: int) -> npt.NDArray[np.intp]:
        wanted = places + distance
        last = np.searchsorted(sorted_places, wanted, side="right") - 1
        return np.where(sorted_places[last] == wanted, order[last], -1)

    return [at(-distance) for distance in range(1, REACH + 1)], [at(distance) for distance in range(1, REACH + 1)]


def _similarity(candidates: Sequence[Candidate], baseline: float) -> Column:
    """0 for what is unrelated, 1 for the same. A memory without an embedding counts as unrelated."""
    cosines = np.array([baseline if one.vector_score is None else one.vector_score for one in candidates], float)
    similarity: Column = np.maximum(0.0, (cosines - baseline) / (1.0 - baseline))
    return similarity


def _is_named(speaker: str | None, named: set[str]) -> bool:
    """Whether the query names the speaker, in full or by the first name."""
    key = normalise(speaker) if speaker else ""
    return bool(key) and (key in named or key.split()[0] in named)


def _closeness(candidates: Sequence[Candidate], wanted: TimeRange | None) -> Column:
    """1 inside the range; outside, halved with every half length of the range, and every week at least.

    People tell things days after they happened, and plan them before.
    """
    if wanted is None:
        return np.zeros(len(candidates))
    start, end = wanted.start.timestamp(), wanted.end.timestamp()
    told = np.array([candidate.event_time.timestamp() for candidate in candidates])
    gap = np.maximum(np.maximum(start - told, told - end), 0.0)
    closeness: Column = np.exp2(-gap / max((end - start) / 2, _WEEK))
    return closeness
