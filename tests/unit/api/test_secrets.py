"""The form of API keys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memsys_api.access import secrets


def test_a_new_key_reads_back_and_is_never_the_same() -> None:
    made = [secrets.generate() for _ in range(100)]
    assert len(set(made)) == 100
    for parts in made:
        assert secrets.parse(secrets.render(parts)) == parts
        assert (len(parts.id), len(parts.secret)) == (12, 32)


@pytest.mark.parametrize("key", [
    "", "msk_", "msk_abc_def", "sk_" + "a" * 12 + "_" + "b" * 32, "msk_" + "a" * 12 + "_" + "b" * 31,
    "msk_" + "a" * 12 + "_" + "b" * 33, "msk_" + "a" * 12 + "_" + "é" * 32, "msk_" + "a" * 12 + "_" + "b" * 32 + "\n",
])  # fmt: skip
def test_what_has_not_the_form_is_no_key(key: str) -> None:
    assert secrets.parse(key) is None


@given(st.text())
def test_no_text_breaks_the_reading_or_comparing(text: str) -> None:
    secrets.parse(text)
    assert secrets.same(text.encode("utf-8", "ignore").decode(), "x" * 16) == (text == "x" * 16)


def test_a_digest_tells_secrets_apart_and_does_not_show_them() -> None:
    assert secrets.digest("a" * 32) != secrets.digest("b" * 32)
    assert "a" * 8 not in secrets.digest("a" * 32)
