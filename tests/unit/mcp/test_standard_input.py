"""What the transport on stdio is given to read."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memsys_mcp.standard_input import mended

_LINES = st.dictionaries(st.text(), st.text(st.characters(exclude_categories=())), max_size=3)


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (r'"cut \ud83d"', r'"cut \ufffd"'),
        (r'"\uD83Dx"', r'"\ufffdx"'),
        (r'"\ude00\ud83d"', r'"\ufffd\ufffd"'),
        (r'"\ud83d\ud83d\ude00"', r'"\ufffd\ud83d\ude00"'),
        (r'"whole \ud83d\ude00"', r'"whole \ud83d\ude00"'),
        (r'"a path \\ud83d"', r'"a path \\ud83d"'),
        (r'"\\\ud83d"', r'"\\\ufffd"'),
    ],
)
def test_half_of_a_pair_is_replaced_and_nothing_else(sent: str, read: str) -> None:
    assert mended(sent.encode()).decode() == read


@given(_LINES)
def test_every_line_of_json_can_be_read_as_utf8(value: dict[str, str]) -> None:
    """As JavaScript writes it: whole characters as they are or as pairs of escapes."""
    read = json.loads(mended(json.dumps(value).encode()))
    for name, text in read.items():
        (name + text).encode()
