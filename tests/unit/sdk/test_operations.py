import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memsys import events, feedback, operations, oversight
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


@given(st.text(min_size=1).filter(lambda text: text not in (".", "..") and "/" not in text))
def test_an_id_can_not_reach_another_route(text: str):
    for call in (operations.get(text), operations.delete(text), operations.delete_key(text)):
        name = call.path.removeprefix("/memories/").removeprefix("/keys/")
        assert "/" not in name
        assert "?" not in name
        assert "#" not in name


@pytest.mark.parametrize("text", ["", ".", "..", "a/history"])
def test_what_leads_elsewhere_is_no_id(text: str):
    for call, field in (
        (operations.delete, "memory_id"),
        (operations.delete_key, "key_id"),
        (events.event, "event_id"),
        (events.delete_webhook, "webhook_id"),
        (feedback.read, "memory_id"),
        (oversight.erasure, "erasure_id"),
    ):
        with pytest.raises(ValueError, match=rf"{field} .*; give"):
            call(text)


def test_deleting_everything_by_omission_is_refused():
    with pytest.raises(ValueError, match="at least one of user_id"):
        operations.delete_all(scope=Scope())


def test_an_update_of_nothing_is_refused():
    with pytest.raises(ValueError, match="new text, new metadata, a new time or a new expiry"):
        operations.update("x")


def test_a_page_is_asked_for_by_query():
    call = operations.list_memories(scope=Scope(user_id="u"), limit=5, cursor="c")
    assert dict(call.query) == {"user_id": "u", "limit": "5", "cursor": "c"}


def test_an_update_keeps_sets_or_clears_the_expiry():
    moment = datetime(2030, 1, 1, tzinfo=UTC)
    bodies = [
        operations.update("1", text="x").body,
        operations.update("1", expires_at=moment).body,
        operations.update("1", ttl_seconds=5).body,
        operations.update("1", never_expires=True).body,
    ]
    assert [json.loads(body or b"") for body in bodies] == [
        {"text": "x"}, {"expires_at": "2030-01-01T00:00:00Z"}, {"ttl_seconds": 5}, {"expires_at": None},
    ]  # fmt: skip
    with pytest.raises(ValueError, match="either never_expires or an expiry"):
        operations.update("1", never_expires=True, ttl_seconds=5)


def test_reads_of_the_past_name_their_moment():
    moment = datetime(2030, 1, 1, tzinfo=UTC)
    assert operations.get("1", as_of=moment).query == {"as_of": "2030-01-01T00:00:00+00:00"}
    listed = operations.list_memories(scope=operations.Scope(), as_of=moment, filters={"a": 1})
    assert listed.query == {"as_of": "2030-01-01T00:00:00+00:00", "filters": '{"a":1}'}
    assert operations.history("1", after=3, limit=2).query == {"after": "3", "limit": "2"}
