from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from memsys_api.filters import read_time
from memsys_api.inference.answers import RawFact, WrongForm, moment, raw_facts

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
FIELDS = (
    "text decision memory_id linked_memory_ids messages attributed_to event_date entities relations event memory fact"
)
fact_fields = st.dictionaries(st.sampled_from(FIELDS.split()), anything)


def test_the_agreed_form() -> None:
    answer = {
        "memory": [
            {
                "id": "0",
                "text": "Ana moved to Oslo",
                "decision": "supersede",
                "memory_id": "2",
                "linked_memory_ids": ["0", "1"],
                "messages": [0, 3],
                "attributed_to": "user",
                "event_date": "2025-03-01",
                "entities": [{"name": "Ana", "kind": "person"}, {"name": "Oslo", "kind": "place"}],
                "relations": [{"subject": "Ana", "predicate": "lives_in", "object": "Oslo", "valid_from": "2025-03"}],
            }
        ]
    }
    assert raw_facts(answer) == [
        RawFact(
            text="Ana moved to Oslo",
            decision="supersede",
            memory_id=2,
            linked=(0, 1),
            messages=(0, 3),
            attributed_to="user",
            event_date="2025-03-01",
            entities=(("Ana", "person"), ("Oslo", "place")),
            relations=(("Ana", "lives_in", "Oslo", "2025-03", None),),
        )
    ]


@pytest.mark.parametrize(
    "answer",
    [
        {"memory": ["Ana likes tea"]},
        {"memory": {"text": "Ana likes tea"}},
        {"facts": [{"fact": "Ana likes tea"}]},
        {"memories": [{"memory": " Ana likes tea\x00 "}]},
        [{"text": "Ana likes tea"}],
        ["Ana likes tea"],
        {"text": "Ana likes tea"},
        {"memory": "Ana likes tea"},
        {"memory": [None, 7, [], {}, {"text": ""}, {"text": ["no"]}, {"text": "Ana likes tea"}]},
    ],
)
def test_other_forms_are_read(answer: object) -> None:
    assert raw_facts(answer) == [RawFact(text="Ana likes tea")]


@pytest.mark.parametrize("answer", [{}, [], {"memory": []}, {"memory": None}, {"facts": []}])
def test_nothing_to_keep(answer: object) -> None:
    assert raw_facts(answer) == []


@pytest.mark.parametrize(
    "answer",
    [{"error": "I cannot"}, "text", 7, None, {"memory": 7}, {"memory": [{"txt": "Ana"}]}, [1, 2]],
)
def test_another_form_is_named(answer: object) -> None:
    with pytest.raises(WrongForm, match="memory"):
        raw_facts(answer)


@pytest.mark.parametrize(
    ("word", "decision"),
    [
        ("ADD", "add"),
        ("UPDATE", "supersede"),
        ("delete", "supersede"),
        ("NOOP", "none"),
        ("None", "none"),
        ("?", "add"),
    ],
)
def test_the_words_of_other_prompts_for_decisions(word: str, decision: str) -> None:
    assert raw_facts([{"text": "x", "event": word}])[0].decision == decision


@pytest.mark.parametrize("value", ["-1", "٣", "1.5", 1.5, True, float("nan"), "0x1", None, {}, [], "1" * 5000, 10**9])
def test_what_is_no_number_of_a_list_is_none(value: object) -> None:
    assert raw_facts([{"text": "x", "memory_id": value}])[0].memory_id is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2025", datetime(2025, 1, 1, tzinfo=UTC)),
        ("2025-03", datetime(2025, 3, 1, tzinfo=UTC)),
        ("2025-3-7", datetime(2025, 3, 7, tzinfo=UTC)),
        ("2025-03-07", datetime(2025, 3, 7, tzinfo=UTC)),
        ("2025-03-07T10:00:00+02:00", datetime(2025, 3, 7, 8, tzinfo=UTC)),
        ("2025-03-07 whenever", datetime(2025, 3, 7, tzinfo=UTC)),
        ("2025-02-30", None),
        ("0001-01-01T00:00:00+10:00", None),
        ("next week", None),
        ("", None),
        (None, None),
    ],
)
def test_moments(text: str | None, expected: datetime | None) -> None:
    assert moment(text) == expected


@given(anything | st.lists(fact_fields) | st.fixed_dictionaries({"memory": st.lists(fact_fields)}))
def test_any_answer_is_read_or_refused_by_name(answer: object) -> None:
    try:
        facts = raw_facts(answer)
    except WrongForm:
        return
    for fact in facts:
        assert fact.text.strip() == fact.text != ""
        assert "\x00" not in fact.text
        fact.text.encode()
        assert all(number >= 0 for number in (*fact.linked, *fact.messages))


@given(st.text())
def test_any_text_is_a_moment_or_none(text: str) -> None:
    found = moment(text)
    assert found is None or found.tzinfo is UTC


@given(st.datetimes(), st.integers(-23, 23))
@example(datetime(1, 1, 1), 0)
@example(datetime(9999, 12, 31, 23), -10)
@example(datetime(9999, 1, 1), 0)
def test_a_moment_is_one_that_a_request_could_name(local: datetime, offset: int) -> None:
    for text in (local.isoformat() + f"{offset:+03}:00", local.date().isoformat(), f"{local.year:04}"):
        if found := moment(text):
            assert read_time(found.isoformat(), "x")[0] == found
