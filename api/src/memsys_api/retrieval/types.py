"""The words of retrieval: what a store hands in and what comes out. Plain values."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from memsys_api.retrieval.names import without_names

Source = Literal["vector", "text", "graph"]


@dataclass(frozen=True, slots=True)
class TimeRange:
    """A stretch of time, start included, end not; both aware."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Candidate:
    """One memory that may answer, with the raw scores of the stores. All candidates of one query are ranked together.

    The store supplies the union of three sets: the best by vector, the best by text, those the graph named; and
    around each of them its neighbours, the memories up to :data:`~memsys_api.retrieval.signals.REACH` turns before
    and after in the same run. A neighbour is a full candidate: it carries its own scores (a neighbour that no list
    named still has a cosine similarity, and a text score of 0 when it shares no word).
    """

    id: UUID
    event_time: datetime
    vector_score: float | None
    """Cosine similarity to the query, -1..1; ``None`` when the memory has no embedding (yet)."""
    text_score: float = 0.0
    """Coverage of the query by the memory's words: BM25 by the sum of the query's idf, about 0..1; 0: no match."""
    graph_score: float | None = None
    """Weight of the memory in the graph around the query's entities, in (0, 1]; ``None``: the graph did not name it."""
    run: str | None = None
    """Which conversation the memory is a turn of; ``None``: none, it has no neighbours."""
    turn: int | None = None
    """Its place in the run, in recorded order; consecutive numbers are consecutive turns."""
    speaker: str | None = None
    """Who said it, as given."""
    asks: bool = False
    """Whether it is itself a question."""
    same: bool = False
    """Whether it is the query, word for word."""


@dataclass(frozen=True, slots=True)
class Query:
    """What a question asks for, as far as it can be read off its words."""

    text: str
    """Composed (NFC)."""
    entities: tuple[str, ...] = ()
    """Normalised keys of what it may name; generous: keys that nobody knows do no harm."""
    aliases: tuple[str, ...] = ()
    """Other names of these entities, as merges have it."""
    time_range: TimeRange | None = None
    """The time it speaks of ("last May"), or ``None``."""

    def embedding_text(self, known_people: Collection[str] = ()) -> str:
        """Return what to embed: the question without the names of people it is asked about.

        ``known_people`` are those of :attr:`entities` that are people of the project. Who spoke is matched exactly
        (by :attr:`Candidate.speaker` and by words); left in, a name pulls the vector towards every turn in
        which somebody is addressed, and away from what was said.
        """
        return without_names(self.text, known_people)


@dataclass(frozen=True, slots=True)
class Ranked:
    """A candidate with its score, 0..1. ``parts`` add up to the score before it is held inside 0..1."""

    candidate: Candidate
    score: float
    parts: dict[str, float]
    sources: tuple[Source, ...]
