"""Ranking: each signal does what it says, and the order is total, stable and explained."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memsys_api.retrieval import Candidate, Query, Weights, analyse, rank
from memsys_api.retrieval.types import TimeRange

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
ANY = Query("something")


def candidate(number: int, **values: Any) -> Candidate:
    return Candidate(**{"id": UUID(int=number), "event_time": NOW, "vector_score": 0.2, **values})


def order(query: Query, *candidates: Candidate, **options: Any) -> list[int]:
    return [ranked.candidate.id.int for ranked in rank(query, candidates, top_k=100, **options)]


def test_meaning_and_words_both_count() -> None:
    assert order(ANY, candidate(1), candidate(2, vector_score=0.5), candidate(3, text_score=0.9)) == [3, 2, 1]


def test_a_question_in_unknown_words_is_ordered_by_meaning() -> None:
    assert order(ANY, *(candidate(n, vector_score=n / 10) for n in range(5))) == [4, 3, 2, 1, 0]


def test_a_memory_without_embedding_is_found_by_words() -> None:
    (best, _) = rank(ANY, [candidate(1, vector_score=None, text_score=1.0), candidate(2)], top_k=2)
    assert best.candidate.id.int == 1
    assert best.sources == ("text",)


def test_who_is_asked_about_is_who_said_it() -> None:
    query = analyse("What does anna like?", now=NOW)
    assert order(query, candidate(1, speaker="Bob"), candidate(2, speaker="Anna Smith")) == [2, 1]
    assert order(ANY, candidate(1, speaker="Bob"), candidate(2, speaker="Anna")) == [1, 2]


def test_an_answer_is_lifted_by_the_words_of_the_question_before_it() -> None:
    turns = [
        candidate(1, run="s", turn=1, text_score=0.9, asks=True),
        candidate(2, run="s", turn=2),
        candidate(3, run="other", turn=2),
        candidate(4, run="s", turn=9),
    ]
    assert order(ANY, *turns)[:2] == [1, 2]
    parts = rank(ANY, turns, top_k=2)[1].parts
    assert parts["before_1"] == pytest.approx(Weights().before_1 * 0.9)


def test_nothing_outweighs_the_very_words() -> None:
    crowd = [candidate(n, run="s", turn=n, vector_score=0.99, text_score=0.9, graph_score=1.0) for n in range(1, 6)]
    ranked = rank(ANY, [*crowd, candidate(9, vector_score=0.9, text_score=0.5, same=True)], top_k=3)
    assert ranked[0].candidate.id.int == 9
    assert ranked[0].score == 1.0


def test_what_is_taken_up_after_counts() -> None:
    turns = [
        candidate(1, run="s", turn=1),
        candidate(2, run="s", turn=2, vector_score=0.9),
        candidate(3, run="s", turn=5),
    ]
    assert order(ANY, *turns) == [2, 1, 3]


def test_no_run_no_neighbours() -> None:
    turns = [candidate(1, turn=1, text_score=1.0), candidate(2, turn=2), candidate(3)]
    assert all(not any("before" in name for name in ranked.parts) for ranked in rank(ANY, turns, top_k=3))


def test_a_question_holds_no_fact() -> None:
    assert order(ANY, candidate(1, asks=True), candidate(2)) == [2, 1]


def test_the_time_asked_for_comes_first_and_near_misses_next() -> None:
    query = Query("q", time_range=TimeRange(NOW - timedelta(days=7), NOW))
    at = {1: NOW - timedelta(days=400), 2: NOW - timedelta(days=3), 3: NOW + timedelta(days=3)}
    assert order(query, *(candidate(n, event_time=time) for n, time in at.items())) == [2, 3, 1]


def test_the_graph_breaks_ties_and_is_named() -> None:
    (best, _) = rank(ANY, [candidate(1), candidate(2, graph_score=0.8)], top_k=2)
    assert best.candidate.id.int == 2
    assert best.sources == ("vector", "graph")


def test_a_baseline_is_where_similarity_begins() -> None:
    near, far = candidate(1, vector_score=0.8), candidate(2, vector_score=0.7)
    ranked = rank(ANY, [near, far], top_k=2, vector_baseline=0.7)
    assert ranked[0].parts == {"vector": pytest.approx(Weights().vector / 3)}
    assert ranked[1].parts == {}


def test_threshold_and_top_k() -> None:
    many = [candidate(n, vector_score=n / 10) for n in range(10)]
    assert len(rank(ANY, many, top_k=3)) == 3
    kept = rank(ANY, many, top_k=100, threshold=0.2)
    assert 0 < len(kept) < 10
    assert all(ranked.score >= 0.2 for ranked in kept)
    assert rank(ANY, [], top_k=10) == []


_candidates = st.lists(
    st.builds(
        Candidate,
        id=st.uuids(),
        asks=st.booleans(),
        event_time=st.datetimes(timezones=st.just(UTC)),
        vector_score=st.none() | st.floats(-1, 1),
        text_score=st.floats(0, 2),
        graph_score=st.none() | st.floats(0.01, 1),
        run=st.none() | st.sampled_from("ab"),
        turn=st.none() | st.integers(0, 5),
        speaker=st.none() | st.text(max_size=5),
    ),
    max_size=12,
    unique_by=lambda one: one.id,
)


@given(_candidates, st.text(max_size=40), st.randoms())
def test_order_does_not_depend_on_the_order_given(candidates: list[Candidate], question: str, random: Any) -> None:
    # Two memories of one run never share a turn unless they were written at once: then either may speak for the other.
    seen: set[tuple[str | None, int | None]] = set()
    distinct = [
        one
        for one in candidates
        if one.turn is None or not ((one.run, one.turn) in seen or seen.add((one.run, one.turn)))
    ]
    query = analyse(question, now=NOW)
    ranked = rank(query, distinct, top_k=100)
    shuffled = list(distinct)
    random.shuffle(shuffled)
    assert rank(query, shuffled, top_k=100) == ranked
    assert len(ranked) == len(distinct)
    for one in ranked:
        assert 0 <= one.score <= 1
        assert one.score == pytest.approx(min(1, max(0, sum(one.parts.values()))), abs=1e-6)
    assert [one.score for one in ranked] == sorted((one.score for one in ranked), reverse=True)
