"""Lines of an export, and what an import makes of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memsys_api.extraction import extract
from memsys_api.model import Scope
from memsys_api.schemas.export import End, FeedbackLine, VersionLine, example
from memsys_api.transfer import lines
from memsys_api.transfer.plan import Incoming, Known, plan

ONE = UUID(int=1)
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
NOW = NOON + timedelta(days=365)


@given(st.lists(st.binary(max_size=12), max_size=6), st.integers(1, 7))
async def test_lines_are_the_same_however_the_bytes_arrive(written: list[bytes], step: int) -> None:
    data = b"\n".join(written)

    async def arriving() -> AsyncIterator[bytes]:
        for begin in range(0, len(data), step):
            yield data[begin : begin + step]

    found = [(line.number, line.content) async for line in lines.split(arriving(), 8)]
    wanted = [
        (number, content if len(content) <= 8 else None)
        for number, content in enumerate(data.split(b"\n"), 1)
        if len(content) > 8 or content.strip()
    ]
    assert found == wanted


@pytest.mark.parametrize(("content", "field", "message"), [
    (None, None, "longer"),
    (b"{", None, "not JSON"),
    (b"[]", None, "not a JSON object"),
    (b"{}", "id", "required"),
    (b'{"id": "00000000-0000-0000-0000-000000000001"}', None, "must be a text"),
    (b'{"id": "00000000-0000-0000-0000-000000000001", "memory": "x", "colour": 1}', "colour", "not permitted"),
    (b'{"id": "00000000-0000-0000-0000-000000000001", "memory": "x", "state": "deleted"}', None, "empty"),
    (b'{"id": "00000000-0000-0000-0000-000000000001", "memory": "x", "turn": 1}', None, "go together"),
    (b'{"id": "00000000-0000-0000-0000-000000000001", "memory": "x", "event_time": "2026-01-01"}', "event_time", ""),
    (b'{"end": true}', "versions", "required"),
])  # fmt: skip
def test_a_line_that_says_nothing_is_told_why(content: bytes | None, field: str | None, message: str) -> None:
    with pytest.raises(lines.Unreadable) as refused:
        lines.body(content)
    assert refused.value.field == field
    assert message in refused.value.message


_LONG = st.builds(
    lambda part, times: part * times, st.text("AbQ中É9_#@/.-'’", min_size=1, max_size=6), st.integers(1, 900)
)


@given(st.lists(st.text(max_size=40) | _LONG, max_size=6).map(" met Anna in ".join), st.sampled_from([None, "Anna"]))
def test_whatever_is_read_out_of_a_text_can_be_imported(text: str, speaker: str | None) -> None:
    found = extract(text, speaker=speaker)
    line = {
        "id": str(ONE),
        "memory": "x",
        "entities": [{"key": e.key, "name": e.name, "kind": e.kind} for e in found.entities],
        "relations": [{"subject": r.subject, "predicate": r.predicate, "object": r.object} for r in found.relations],
    }
    read = lines.body(orjson.dumps(line))
    assert isinstance(read, VersionLine)
    assert [e.name for e in read.entities or ()] == [e.name for e in found.entities]


def test_a_name_as_long_as_they_once_were_is_shortened() -> None:
    line = {"id": str(ONE), "memory": "x", "entities": [{"key": "qq", "name": "Q" * 1200, "kind": "entity"}]}
    read = lines.body(orjson.dumps(line))
    assert isinstance(read, VersionLine)
    assert [len(e.name) for e in read.entities or ()] == [1000]


def test_first_and_last_lines_are_read_as_they_are_written() -> None:
    assert lines.header(lines.write_header(heads=True)).heads
    assert lines.body(lines.write_end(3)) == End(end=True, versions=3)
    with pytest.raises(lines.Unreadable):
        lines.header(b'{"format": "memsys-export", "version": 2}')


def _line(
    version: int, text: str = "x", minutes: int | None = None, user: str | None = None, word: FeedbackLine | None = None
) -> Incoming:
    at = NOON + timedelta(minutes=version if minutes is None else minutes)
    line = VersionLine(id=ONE, version=version, memory=text, recorded_from=at, feedback=word)
    return Incoming(version, Scope("p", user), text, line)


def _known(version: int, text: str = "x", head: bool = True) -> dict[int, Known]:
    return {version: Known(Scope("p"), "active", text, NOON + timedelta(minutes=version), head)}


def test_what_is_new_is_fresh_and_what_is_there_unchanged() -> None:
    assert [one.line.version for one in plan({}, {}, [_line(1), _line(2)], NOW).fresh] == [1, 2]
    again = plan({ONE: _known(1, head=False) | _known(2)}, {}, [_line(1), _line(2)], NOW)
    assert (again.fresh, again.unchanged, again.refused) == ([], 2, [])
    longer = plan({ONE: _known(1)}, {}, [_line(1), _line(2), _line(3)], NOW)
    assert ([one.line.version for one in longer.fresh], longer.unchanged) == ([2, 3], 1)


@pytest.mark.parametrize(("known", "incoming", "field"), [
    ({ONE: _known(1, "other")}, [_line(1)], "id"),
    ({ONE: _known(1)}, [_line(1, minutes=9)], "id"),
    ({ONE: _known(1)}, [_line(1, user="u")], "id"),
    ({ONE: _known(1)}, [_line(2, user="u")], "id"),
    ({}, [_line(2)], "version"),
    ({ONE: _known(1)}, [_line(3)], "version"),
    ({ONE: _known(1)}, [_line(2, minutes=1)], "recorded_from"),
])  # fmt: skip
def test_what_contradicts_is_refused(known: dict[UUID, dict[int, Known]], incoming: list[Incoming], field: str) -> None:
    done = plan(known, {}, incoming, NOW)
    assert (done.fresh, [refusal.field for refusal in done.refused]) == ([], [field])


@pytest.mark.parametrize(("given", "words", "kept"), [
    (None, [NOON, None], [1, 1]),
    (None, [None, NOON], [1, 1]),
    (NOON, [NOON, None], [0, 0]),
    (NOON, [NOON + timedelta(1), None], [1, 1]),
    (NOON, [NOON - timedelta(1), NOON + timedelta(1)], [0, 2]),
    (NOON, [NOON + timedelta(2), NOON + timedelta(1)], [1, 1]),
])  # fmt: skip
@pytest.mark.parametrize("there", [{}, {ONE: _known(1, head=False) | _known(2)}])
def test_the_newest_word_on_a_memory_is_kept(
    there: dict[UUID, dict[int, Known]], given: datetime | None, words: list[datetime | None], kept: list[int]
) -> None:
    said = [FeedbackLine(verdict="NEGATIVE", given_at=at) for at in words]
    incoming = [_line(version, word=word) for version, word in enumerate(said, 1)]
    for lines_read, version in enumerate(kept, 1):
        judged = plan(there, {ONE: given} if given else {}, incoming[:lines_read], NOW).judged
        assert [one.line.version for one in judged.values()] == ([version] if version else [])


def test_the_example_in_the_documentation_can_be_imported() -> None:
    first, *rest, last = [orjson.dumps(line) for line in example()]
    assert lines.header(first)
    assert all(isinstance(lines.body(line), VersionLine) for line in rest)
    assert lines.body(last) == End(end=True, versions=len(rest))
