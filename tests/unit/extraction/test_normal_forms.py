"""One text in the ways that Unicode has of writing it: read alike, whatever came in, and in linear time."""

from __future__ import annotations

import sys
import time
import unicodedata
from datetime import UTC, datetime
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memsys_api.extraction import extract, normalise, query_entities, spoken
from memsys_api.inference import fingerprint
from memsys_api.inference.grounding import units
from memsys_api.inference.trivia import holds_no_fact
from memsys_api.inference.types import Message
from memsys_api.normal_forms import compatible, composed, is_mark, spellings
from memsys_api.retrieval import analyse

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
Form = Literal["NFC", "NFD"]

_LETTERS = "aeoAEINOU áéñüßÅĐčžộẾ 가힣 がパ й ї अड़ क़ שׁ"
_MARKS = "".join(map(chr, range(0x300, 0x340))) + "\u3099\u0f73\uff9e"
_WORDS = st.sampled_from(
    ["José", "García", "Zoë Müller GmbH", "Nguyễn Văn Đức", "Дмитрий", "김민수", "works at", "lives in", "my sister",
     "loves crème brûlée", "I", ". ", ": ", "\n", "“Amélie”", "Ångström", "said", "'s"]
)  # fmt: skip
TEXTS = st.lists(_WORDS | st.text(_LETTERS + _MARKS, max_size=4), max_size=14).map(" ".join)


def _in(form: Form, text: str) -> str:
    return unicodedata.normalize(form, text)


@given(TEXTS, st.none() | TEXTS)
def test_a_text_says_the_same_in_every_form(text: str, speaker: str | None) -> None:
    read = {
        extract(_in(form, text), speaker=speaker and _in(form, speaker), event_time=NOON) for form in ("NFC", "NFD")
    }
    assert read == {extract(text, speaker=speaker, event_time=NOON)}


@given(TEXTS)
def test_a_question_asks_the_same_in_every_form(text: str) -> None:
    asked = [analyse(_in(form, text), now=NOON) for form in ("NFC", "NFD")]
    assert asked[0] == asked[1] == analyse(text, now=NOON)
    assert query_entities(_in("NFD", text)) == query_entities(_in("NFC", text))
    assert asked[0].embedding_text(asked[0].entities) == asked[1].embedding_text(asked[1].entities)


@given(TEXTS)
def test_it_is_compared_as_the_same_in_every_form(text: str) -> None:
    for compared in (normalise, fingerprint, units):
        assert compared(_in("NFC", text)) == compared(_in("NFD", text)), compared.__name__


def test_names_in_nfd_are_whole() -> None:
    found = extract(_in("NFD", "José García works at Zoë Müller GmbH."), event_time=NOON)
    assert {entity.name for entity in found.entities} == {"José García", "Zoë Müller GmbH"}
    assert [(one.subject, one.predicate, one.object) for one in found.relations] == [
        ("josé garcía", "works_at", "zoë müller gmbh")
    ]


def test_who_spoke_is_named_and_what_was_said_is_left_as_it_is() -> None:
    said = _in("NFD", "I met Renée")
    assert spoken(_in("NFD", "Zoë: ") + said) == (_in("NFC", "Zoë"), said)
    assert spoken(_in("NFD", "Zoë: the Ísland report")) == (None, _in("NFD", "Zoë: the Ísland report"))


@pytest.mark.parametrize("text", ["Tschüss!", "Buenos días, gracias", "안녕하세요"])
def test_a_greeting_holds_no_fact_in_any_form(text: str) -> None:
    for form in ("NFC", "NFD"):
        assert holds_no_fact([Message("user", _in(form, text))]), form


@given(st.text() | TEXTS)
def test_composed_is_what_unicode_says(text: str) -> None:
    assert composed(text) == unicodedata.normalize("NFC", text)
    assert compatible(text) == unicodedata.normalize("NFKC", text)
    assert set(spellings(text)) == {text, _in("NFC", text), _in("NFD", text)}


def test_compatibility_is_not_folded() -> None:
    assert composed("x² ﬁ Ａ ½") == "x² ﬁ Ａ ½"


def test_every_character_that_may_be_sorted_is_known_as_a_mark() -> None:
    for number in range(sys.maxunicode + 1):
        if not 0xD800 <= number < 0xE000:
            character = chr(number)
            assert is_mark(character) == bool(unicodedata.combining(unicodedata.normalize("NFKD", character)[0]))


@pytest.mark.parametrize(
    "heap", ["\u0301" * 16_000 + "\u0316" * 16_000, "\u0301\u0316" * 16_000, "\u0f73" * 32_000, "\uff9e\u0301" * 16_000]
)
def test_a_heap_of_marks_is_left_alone_and_holds_nobody_up(heap: str) -> None:
    """Putting so many into their order takes Python seconds, and PostgreSQL half a minute."""
    text = f"Zoe\u0308 {heap} Zoe\u0308"
    started = time.perf_counter()
    assert composed(text) == f"Zoë {heap} Zoë"
    spellings(text), compatible(text), fingerprint(text), units(text), extract(text), query_entities(text)
    assert time.perf_counter() - started < 2
