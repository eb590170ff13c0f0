import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memsys import operations
from memsys.operations import Scope


def test_an_add_sends_what_was_given_and_nothing_else():
    call = operations.add(
        [{"role": "user", "content": "hello", "name": "Ana"}],
        scope=Scope(user_id="u", run_id="r"),
        metadata={"n": 1},
        infer=False,
        timestamp=datetime(2026, 1, 2, tzinfo=UTC),
        idempotency_key="k1",
    )
    assert (call.method, call.path) == ("POST", "/memories")
    assert call.headers["Idempotency-Key"] == "k1"
    assert json.loads(call.body or b"") == {
        "messages": [{"role": "user", "content": "hello", "name": "Ana"}],
        "user_id": "u",
        "run_id": "r",
        "metadata": {"n": 1},
        "infer": False,
        "timestamp": "2026-01-02T00:00:00Z",
    }


@given(st.text(min_size=1))
def test_an_id_can_not_reach_another_route(text: str):
    for call in (operations.get(text), operations.delete(text), operations.delete_key(text)):
        name = call.path.removeprefix("/memories/").removeprefix("/keys/")
        assert "/" not in name
        assert "?" not in name
        assert "#" not in name


def test_deleting_everything_by_omission_is_refused():
    with pytest.raises(ValueError, match="at least one of user_id"):
        operations.delete_all(scope=Scope())


def test_an_update_of_nothing_is_refused():
    with pytest.raises(ValueError, match="new text, new metadata or both"):
        operations.update("x")


def test_a_page_is_asked_for_by_query():
    call = operations.list_memories(scope=Scope(user_id="u"), limit=5, cursor="c")
    assert dict(call.query) == {"user_id": "u", "limit": "5", "cursor": "c"}
