"""Times in questions: what is read, from when to when, and what is left alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memsys_api.retrieval.times import read_time

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)  # a Friday


@pytest.mark.parametrize(
    ("question", "start", "end"),
    [
        ("What happened on 7 July, 2023?", "2023-07-07", "2023-07-08"),
        ("What happened on July 7th, 2023?", "2023-07-07", "2023-07-08"),
        ("what did I do on 2023-05-07", "2023-05-07", "2023-05-08"),
        ("on the 3rd of June", "2026-06-03", "2026-06-04"),
        ("on 24 December", "2025-12-24", "2025-12-25"),
        ("in July 2023", "2023-07-01", "2023-08-01"),
        ("In December 2023, who called?", "2023-12-01", "2024-01-01"),
        ("in may", "2026-05-01", "2026-06-01"),
        ("last May", "2026-05-01", "2026-06-01"),
        ("last November", "2025-11-01", "2025-12-01"),
        ("in December", "2025-12-01", "2026-01-01"),
        ("next march", "2027-03-01", "2027-04-01"),
        ("during the summer of 2022", "2022-06-01", "2022-09-01"),
        ("last summer", "2026-06-01", "2026-09-01"),
        ("last winter", "2025-12-01", "2026-03-01"),
        ("in 2023", "2023-01-01", "2024-01-01"),
        ("last year", "2025-01-01", "2026-01-01"),
        ("this month", "2026-11-01", "2026-12-01"),
        ("last week", "2026-11-09", "2026-11-16"),
        ("last weekend", "2026-11-14", "2026-11-16"),
        ("last Tuesday", "2026-11-17", "2026-11-18"),
        ("yesterday", "2026-11-19", "2026-11-20"),
        ("what did I say today", "2026-11-20", "2026-11-21"),
        ("since 2022", "2022-01-01", "2200-01-01"),
        ("before March 2023", "1900-01-01", "2023-03-01"),
        ("after 3 June 2023", "2023-06-04", "2200-01-01"),
    ],
)
def test_read(question: str, start: str, end: str) -> None:
    found = read_time(question, NOW)
    assert found is not None
    assert (found.start.date().isoformat(), found.end.date().isoformat()) == (start, end)
    assert found.start.tzinfo is UTC


@pytest.mark.parametrize(
    ("question", "inside"),
    [
        ("two weeks before August 11, 2023", "2023-07-28"),
        ("the week before August 3, 2023", "2023-07-27"),
        ("last weekend before April 10, 2023", "2023-04-03"),
        ("3 days ago", "2026-11-17"),
        ("a couple of months ago", "2026-09-20"),
        ("in the past three weeks", "2026-11-05"),
    ],
)
def test_vague_times_surround_their_middle(question: str, inside: str) -> None:
    found = read_time(question, NOW)
    assert found is not None
    middle = datetime.fromisoformat(inside).replace(tzinfo=UTC)
    assert found.start <= middle < found.end
    assert found.end - found.start < timedelta(days=80)


@pytest.mark.parametrize(
    "question",
    [
        "May I ask?",
        "we march on",
        "What time is it?",
        "What is 5 plus 2023?",
        "How long ago was that?",
        "",
        "second to last",
    ],
)
def test_left_alone(question: str) -> None:
    assert read_time(question, NOW) is None


def test_an_impossible_date_is_read_as_its_month() -> None:
    found = read_time("on 31 February 2023", NOW)
    assert found is not None
    assert found.start.date().isoformat() == "2023-02-01"


@given(
    st.text()
    | st.lists(
        st.sampled_from(
            [
                "last",
                "two",
                "2023",
                "may",
                "31",
                "weeks",
                "ago",
                "before",
                "after",
                "since",
                "in",
                "the",
                "day",
                "0",
                "9999",
                "12-31",
                "-",
            ]
        )
    ).map(" ".join),
    st.datetimes(datetime(1, 1, 2), datetime(9998, 12, 30), timezones=st.just(timezone(timedelta(hours=5)))),
)
def test_no_text_and_no_clock_breaks_it(text: str, now: datetime) -> None:
    found = read_time(text, now)
    assert found is None or (found.start <= found.end and found.start.tzinfo is now.tzinfo)
