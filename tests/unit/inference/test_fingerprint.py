import pytest
from hypothesis import given
from hypothesis import strategies as st

from memsys_api.inference.fingerprint import fingerprint


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("User likes tea", "user LIKES tea."),
        ("User likes tea", "  User\tlikes\n tea !"),
        ("“User” likes (tea)", "User likes tea"),
        ("Ａｎａ likes tea", "Ana likes tea"),
    ],
)
def test_the_same_statement(one: str, other: str) -> None:
    assert fingerprint(one) == fingerprint(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("User likes C++", "User likes C#"),
        ("User likes C", "User likes C++"),
        ("It is -5 outside", "It is 5 outside"),
        ("It costs 3.5", "It costs 35"),
        ("It costs $20", "It costs €20"),
        ("User likes tea", "User does not like tea"),
        ("Ana likes Bo", "Bo likes Ana"),
        ("They are there", "They 're there"),
    ],
)
def test_different_statements(one: str, other: str) -> None:
    assert fingerprint(one) != fingerprint(other)


@given(st.text())
def test_any_text_has_one_that_spacing_does_not_change(text: str) -> None:
    mark = fingerprint(text)
    assert len(mark) == 32
    assert fingerprint(f" {text} .") == mark
