"""What is sent for questions about the graph."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from memsys import graph_operations as calls
from memsys.operations import Scope

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def test_a_question_names_the_entity_in_the_path_and_the_rest_in_the_query() -> None:
    call = calls.neighbours("Anna / Bob?", scope=Scope(user_id="u"), depth=2, limit=None, as_of=NOON, valid_at=None)
    assert (call.method, call.path) == ("GET", "/graph/entities/Anna%20%2F%20Bob%3F/neighbours")
    assert call.query == {"user_id": "u", "depth": "2", "as_of": "2026-01-02T12:00:00+00:00"}
    assert call.repeatable


def test_paths_lead_from_one_to_the_other() -> None:
    call = calls.paths("a", "b", scope=Scope(), depth=None, limit=3, as_of=None, valid_at=None)
    assert call.query == {"from": "a", "to": "b", "limit": "3"}


def test_a_merge_is_sent_once() -> None:
    call = calls.merge_entities("bob", "robert", reason=None)
    assert json.loads(call.body or b"") == {"from": "bob", "into": "robert"}
    assert not call.repeatable
    assert call.read(b'{"from": "bob", "into": "robert", "memories": 2}').source == "bob"


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_a_name_that_a_client_would_fold_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"entity .* cannot be asked for"):
        calls.timeline(name, scope=Scope(), limit=None, as_of=None)
