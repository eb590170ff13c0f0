"""What the gate reads of a message before anybody has verified anything."""

from __future__ import annotations

import json

import pytest

from memsys_mcp.gate import right_needed


@pytest.mark.parametrize(
    ("message", "right"),
    [
        ({"method": "tools/call", "params": {"name": "add_memory"}}, "write"),
        ({"method": "tools/call", "params": {"name": "search_memories"}}, "read"),
        ({"method": "resources/read", "params": {"uri": "memory://1"}}, "read"),
        ({"method": "tools/list"}, None),
        ([], None),
        ({"method": "tools/call", "params": []}, None),
    ],
)
def test_the_right_that_a_message_needs(message: object, right: str | None) -> None:
    assert right_needed(json.dumps(message).encode()) == right


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"method":' + b"[" * 100_000])
def test_what_is_no_message_needs_none(body: bytes) -> None:
    assert right_needed(body) is None
