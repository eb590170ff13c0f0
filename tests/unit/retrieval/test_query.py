"""What a question is about, without its names, and how similarity is calibrated."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memsys_api.retrieval import analyse, baseline, embedding_text

NOW = datetime(2026, 11, 20, tzinfo=UTC)


def test_names_of_known_people_are_not_embedded() -> None:
    query = analyse("What did Caroline's sister tell CAROLINE about Anna Smith?", now=NOW)
    assert query.embedding_text({"caroline"}) == "What did sister tell about Anna Smith?"
    assert query.embedding_text({"anna smith"}) == "What did Caroline's sister tell CAROLINE about ?"
    assert query.embedding_text() == query.text


def test_a_question_of_names_alone_is_kept() -> None:
    assert analyse("Caroline?", now=NOW).embedding_text({"caroline"}) == "Caroline?"


def test_lower_case_names_are_candidates_too() -> None:
    assert "anna" in analyse("where does anna live", now=NOW).entities


@pytest.mark.parametrize(
    ("text", "speaker", "expected"),
    [
        ("Caroline: I went there", None, "I went there"),
        ("Caroline: went there", "Caroline", "went there"),
        ("I told Tom: no", "Caroline", "I told Tom: no"),
        ("Note: the key is here", None, "Note: the key is here"),
        ("Caroline:", "Caroline", "Caroline:"),
        ("plain", None, "plain"),
    ],
)
def test_what_is_embedded_of_a_memory(text: str, speaker: str | None, expected: str) -> None:
    assert embedding_text(text, speaker=speaker) == expected


@given(st.text(), st.none() | st.text(max_size=10))
def test_something_is_always_embedded(text: str, speaker: str | None) -> None:
    embedded = embedding_text(text, speaker=speaker)
    assert embedded in text
    assert bool(embedded.strip()) == bool(text.strip())


def test_baseline_of_unrelated_and_of_crowded_vectors() -> None:
    assert baseline(np.eye(4, dtype=np.float32)) == 0
    crowded = np.array([[0.8, 0.6, 0], [0.8, 0, 0.6]], np.float32)
    assert baseline(crowded) == pytest.approx(0.64, abs=1e-6)
    assert baseline(np.ones((3, 1), np.float32)) == 0.95
