"""A conversation that waits in the database comes back as it was."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from memsys_api.flows.inferring import Conversation, from_json, to_json
from memsys_api.inference import Message
from memsys_api.model import Scope
from memsys_api.store.facts import scope_key

NOW = datetime(2026, 4, 1, 12, 30, 0, 123456, tzinfo=UTC)
TURNS = [Message("user", "I like tea", "Ann")]


@pytest.mark.parametrize("expires_at", [None, NOW])
def test_what_waits_comes_back_as_it_was_with_the_turns_that_are_left(expires_at: datetime | None) -> None:
    scope = Scope("p", user_id="u", run_id="r")
    conversation = Conversation(
        turns=[*TURNS, Message("user", "edited since")], observed_at=NOW, actor="k", metadata={"a": [1]},
        expires_at=expires_at, instructions="i", includes="n", excludes="x",
    )  # fmt: skip
    stored = json.loads(json.dumps(to_json(scope, conversation)))
    assert "tea" not in json.dumps(stored)
    back_scope, back = from_json(stored, TURNS)
    assert back_scope == scope
    assert back == Conversation(
        turns=TURNS, observed_at=NOW, actor="k", metadata={"a": [1]}, expires_at=expires_at,
        instructions="i", includes="n", excludes="x",
    )  # fmt: skip


def test_the_key_of_a_scope_tells_absent_from_empty_and_one_id_from_another() -> None:
    scopes = [
        Scope("p"), Scope("p", user_id="u"), Scope("p", agent_id="u"), Scope("p", app_id="u"), Scope("p", run_id="u"),
        Scope("q"), Scope("p", user_id=""), Scope("p", user_id="u", agent_id="u"),
    ]  # fmt: skip
    keys = {scope_key(scope) for scope in scopes}
    assert len(keys) == len(scopes)
    assert all(-(2**63) <= key < 2**63 for key in keys)
