"""The parsers, each with what it may raise. Anything else is a finding."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from memsys_api import filters
from memsys_api.access import narrowing, secrets, token_review
from memsys_api.inference import tolerant_json
from memsys_api.problems import ProblemError
from memsys_api.retrieval import times
from memsys_api.routes.common import read_cursor, read_filters, write_cursor
from memsys_api.routes.mem0 import options
from memsys_api.schemas import AddRequest, SearchRequest
from memsys_api.store.filters import conditions
from memsys_api.transfer import lines

_NOW = datetime(2026, 5, 1, tzinfo=UTC)


def a_filter(text: str) -> None:
    """A filter is refused, or compiled into a condition whose every value is a parameter."""
    with suppress(ProblemError):
        for condition in conditions(filters.parse(read_filters(text)).rest):
            statement = condition.clause.as_string(None)
            assert all(name in statement for name in condition.parameters)


def a_cursor(text: str) -> None:
    with suppress(ProblemError):
        position = read_cursor(text)
        assert read_cursor(write_cursor(position)) == position


def a_key(text: str) -> None:
    parts = secrets.parse(text)
    assert parts is None or secrets.render(parts) == text


def a_token(text: str) -> None:
    if token_review.is_token(text):
        assert isinstance(token_review._expiry(text), float)


def a_signed_scope(text: str) -> None:
    with suppress(ProblemError):
        narrowing.read(text, "key", 0)


def a_model_s_answer(text: str) -> None:
    with suppress(tolerant_json.NotJson):
        assert isinstance(tolerant_json.loads(text).value, dict | list)


def a_time_in_a_question(text: str) -> None:
    found = times.read_time(text, _NOW)
    assert found is None or found.start < found.end


def an_add(text: str) -> None:
    with suppress(ValidationError):
        AddRequest.model_validate_json(text).turns()


def a_search(text: str) -> None:
    with suppress(ValidationError):
        SearchRequest.model_validate_json(text)


def mem0_s_add(text: str) -> None:
    with suppress(ValidationError, ProblemError):
        request = options.Mem0Add.model_validate_json(text)
        options.supported(request)
        options.ids_of(request)


def mem0_s_search(text: str) -> None:
    with suppress(ValidationError, ProblemError):
        request = options.Mem0Search.model_validate_json(text)
        options.supported(request)
        conditions(options.wanted(request).rest)


def mem0_s_update(text: str) -> None:
    with suppress(ValidationError, ProblemError):
        options.change(options.Mem0Update.model_validate_json(text))


def a_line_of_an_export(text: str) -> None:
    content = text.encode("utf-8", "surrogatepass")
    for read in (lines.header, lines.body):
        with suppress(lines.Unreadable):
            read(content)


TARGETS: tuple[Callable[[str], None], ...] = (
    a_filter,
    a_cursor,
    a_key,
    a_token,
    a_signed_scope,
    a_model_s_answer,
    a_time_in_a_question,
    an_add,
    a_search,
    mem0_s_add,
    mem0_s_search,
    mem0_s_update,
    a_line_of_an_export,
)

_ADD: dict[str, Any] = {"messages": [{"role": "user", "content": "I like tea"}], "user_id": "u", "metadata": {"n": 1}}
_FILTER = {"AND": [{"user_id": "u"}, {"NOT": {"created_at": {"gte": "2026-01-01"}}}, {"n": {"in": [1, "a", None]}}]}
SEEDS: dict[Callable[[str], None], list[str]] = {
    a_filter: [json.dumps(_FILTER), '{"metadata": {"a": {"icontains": "x"}}, "memory_ids": ["*"]}', '{"OR": []}'],
    a_cursor: ["c0", "c7fffffffffffffff"],
    a_key: ["msk_" + "a" * 12 + "_" + "b" * 32],
    a_token: ["eyJhIjoxfQ.eyJleHAiOjF9.c2ln"],
    a_signed_scope: ["eyJhIjoxfQ.c2ln"],
    a_model_s_answer: ['<think>x</think>```json\n{"memory": [{"text": "a",}],}\n```', '[{"a": "b'],
    a_time_in_a_question: ["what did I do in May 2023, two weeks ago, last summer, on 2023-05-07?"],
    an_add: [json.dumps(_ADD), json.dumps({"text": "x", "timestamp": "2026-01-01T00:00:00Z"})],
    a_search: [json.dumps({"query": "x", "filters": _FILTER, "top_k": 5, "as_of": "2026-01-01T00:00:00Z"})],
    mem0_s_add: [json.dumps(_ADD | {"filters": {"user_id": "u"}, "timestamp": 1})],
    mem0_s_search: [json.dumps({"query": "x", "filters": _FILTER, "top_k": 5})],
    mem0_s_update: [json.dumps({"text": "x", "timestamp": 1e300, "expiration_date": "2026-01-01"})],
    a_line_of_an_export: [
        '{"format": "memsys-export", "version": 1}',
        '{"id": "0b0f3c52-6f0e-4a55-9d0c-3f5e1f1a8f11", "memory": "x", "event_time": "2026-05-12T09:00:00+00:00"}',
        '{"id": "0b0f3c52-6f0e-4a55-9d0c-3f5e1f1a8f11", "memory": "x", "feedback": {"verdict": "NEGATIVE"}}',
        '{"end": true, "versions": 1}',
    ],
}


def run(data: bytes) -> None:
    """Feed one target: the first byte says which, the rest is the text."""
    if data:
        TARGETS[data[0] % len(TARGETS)](data[1:].decode("utf-8", "surrogateescape"))
