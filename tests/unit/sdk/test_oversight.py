"""What is sent to oversee a project, and how the answers to a suspect write are read."""

from __future__ import annotations

import json

import pytest

import memsys
from memsys import operations, oversight
from memsys.operations import Scope

REVIEW = "6f1c2f0e-6f6f-4c63-9c5e-1f2f3a4b5c6d"
HELD = {
    "event": "HELD",
    "review_id": REVIEW,
    "memory_id": None,
    "project": "p",
    "findings": [{"kind": "secret", "field": "messages.0.content", "start": 3, "end": 40}],
}


def answered(*results: object) -> bytes:
    return json.dumps({"results": results}).encode()


def test_an_add_that_is_held_stores_nothing_and_says_so() -> None:
    stored = operations.add("x", scope=Scope()).read(answered(HELD))
    assert stored.results == ()
    [write] = stored.held
    assert (str(write.review_id), write.findings[0].kind) == (REVIEW, "secret")


def test_an_add_that_is_carried_out_is_not_held() -> None:
    stored = operations.add("x", scope=Scope()).read(answered({"id": REVIEW, "memory": "x", "event": "ADD"}))
    assert (len(stored.results), stored.held) == (1, ())


def test_a_change_that_is_held_is_an_error_with_the_review() -> None:
    with pytest.raises(memsys.Held) as held:
        operations.update(REVIEW, text="x").read(answered(HELD))
    assert held.value.review_id == REVIEW


def test_an_erasure_needs_a_scope_and_is_sent_once() -> None:
    with pytest.raises(ValueError, match="everything"):
        oversight.erase(scope=Scope())
    call = oversight.erase(scope=Scope(user_id="zoe"), memory_ids=[REVIEW])
    assert json.loads(call.body or b"") == {"user_id": "zoe", "memory_ids": [REVIEW]}
    assert not call.repeatable
    assert json.loads(oversight.erase(scope=Scope(), everything=True).body or b"") == {"everything": True}


def test_decisions_may_be_repeated() -> None:
    call = oversight.decide("a b", "release")
    assert (call.method, call.path, call.repeatable) == ("POST", "/quarantine/a%20b/release", True)
