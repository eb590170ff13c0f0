import contextlib
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memsys_api.inference.tolerant_json import LONGEST_ANSWER, NotJson, loads

FACTS = {"memory": [{"text": "Ana lives in New York"}, {"text": 'says "hi" {often}, [really]'}]}
PLAIN = json.dumps(FACTS)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
documents = st.lists(json_values, max_size=5) | st.dictionaries(st.text(), json_values, max_size=5)


@pytest.mark.parametrize(
    "answer",
    [
        PLAIN,
        f"```json\n{PLAIN}\n```",
        f"```\n{PLAIN}",
        f"Sure! Here are the memories:\n{PLAIN}\nLet me know if you need more.",
        f"<think>Perhaps {{a}} or [b]? {{'memory': []}}</think>\n{PLAIN}",
        f"<thinking>\n...</thinking>{PLAIN}",
        f"reasoning without its opening tag {{ }}</think>{PLAIN}",
        json.dumps(FACTS, indent=2).replace('"\n    }', '",\n    }').replace("\n  ]", ",\n  ]"),
        PLAIN.replace("New York", "New York") + "\n" * 50,
    ],
    ids=[
        "plain",
        "fence",
        "open fence",
        "prose",
        "thoughts",
        "thinking",
        "half a tag",
        "trailing commas",
        "blank lines",
    ],
)
def test_reads_what_models_wrap_around_their_json(answer: str) -> None:
    parsed = loads(answer)
    assert parsed.value == FACTS
    assert not parsed.truncated


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "   \n",
        "I found nothing worth keeping.",
        "<think>still thinking {",
        "[" * 100_000,
        "{" * 5,
        '{"a": }',
        "[NaN",
    ],
)
def test_says_so_when_there_is_no_json(answer: str) -> None:
    with pytest.raises(NotJson):
        loads(answer)


def test_line_feeds_inside_strings_are_read() -> None:
    assert loads('{"memory": [{"text": "two\nlines"}]}').value == {"memory": [{"text": "two\nlines"}]}


def test_a_comma_before_a_bracket_inside_a_string_stays() -> None:
    assert loads('{"memory": ["a ,] b",]}').value == {"memory": ["a ,] b"]}


def test_an_empty_object_in_prose_does_not_hide_the_answer() -> None:
    assert loads('For {} I give {"memory": ["x"]}').value == {"memory": ["x"]}


@given(st.integers(1, len(PLAIN) - 1))
def test_a_cut_off_answer_keeps_whole_facts_only(length: int) -> None:
    try:
        parsed = loads(PLAIN[:length])
    except NotJson:
        assert PLAIN[:length].count("}") == 0
        return
    assert parsed.truncated
    assert parsed.value["memory"] == FACTS["memory"][: len(parsed.value["memory"])]
    assert parsed.value["memory"]


@given(documents, st.sampled_from(["", "```json\n", "Here you are: "]), st.sampled_from(["", "\n```", "\nDone."]))
def test_reads_any_document_as_the_json_module_does(document: object, before: str, after: str) -> None:
    assert loads(before + json.dumps(document) + after).value == document


@given(st.text() | st.text(alphabet='{}[]",:\\ \nabc1<>/think'))
def test_raises_nothing_else_for_any_text(text: str) -> None:
    with contextlib.suppress(NotJson):
        loads(text)


@pytest.mark.parametrize(
    "unit", ["{", "[", '{"a":', "[1,", '"', "\\", "<think>", "</think>", "```", ", ", "{}", '["', '{"a": "\\"']
)
def test_a_model_that_runs_wild_costs_little_time(unit: str) -> None:
    answer = (unit * LONGEST_ANSWER)[:LONGEST_ANSWER]
    started = time.process_time()
    with pytest.raises(NotJson) if "}" not in unit else _nothing():
        loads(answer)
    assert time.process_time() - started < 3


def test_an_endless_answer_is_refused() -> None:
    with pytest.raises(NotJson, match="200001 characters"):
        loads(" " * (LONGEST_ANSWER + 1))


class _nothing:  # noqa: N801 - reads like pytest.raises beside it
    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...
