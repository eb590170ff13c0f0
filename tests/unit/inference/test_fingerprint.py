import re
import unicodedata

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from memsys_api.inference.fingerprint import fingerprint

HARMLESS = ".,;:!…\"'`´‘’“”„«»()[]{}¡¿。、「」『』"
MEANINGFUL = "<>~*|±≤≥=+-#%$?/_^²⁶½→"
SPACE = re.compile(r"\s+")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("User likes tea", "user LIKES tea."),
        ("User likes tea", "  User\tlikes\n tea !"),
        ("“User” likes (tea)", "User likes tea"),
        ("Ａｎａ likes tea", "Ana likes tea"),
        ("Born in 2019.", "born in 2019"),
        ("In 2019, User moved", "In 2019 User moved"),
        ("ﾊﾟﾝが好き", "パンが好き。"),
        ("café", "cafe\u0301"),
    ],
)
def test_the_same_statement(one: str, other: str) -> None:
    assert fingerprint(one) == fingerprint(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("User likes C++", "User likes C#"),
        ("User likes C", "User likes C++"),
        ("User likes C", "User likes C*"),
        ("It is -5 outside", "It is 5 outside"),
        ("It costs 3.5", "It costs 35"),
        ("It costs $20", "It costs €20"),
        ("User likes tea", "User does not like tea"),
        ("Ana likes Bo", "Bo likes Ana"),
        ("They are there", "They 're there"),
        ("Blood sugar is < 5 mmol", "Blood sugar is > 5 mmol"),
        ("Salary >100k", "Salary <100k"),
        ("Takes .5 mg", "Takes 5 mg"),
        ("About ~5", "About 5"),
        ("a | b", "a b"),
        ("10⁶ cells", "106 cells"),
        ("x² is", "x2 is"),
        ("1½ cups", "11⁄2 cups"),
        ("x != 5", "x = 5"),
        ("!done", "done"),
        ("From [0, 5)", "From [0, 5]"),
        ("From [-1, 0]", "From (-1, 0]"),
        ("5' long", '5" long'),
        ("It is 5!", "It is 5"),
        ("User is vegan?", "User is vegan"),
        ("The hint is *", "The hint is _"),
        ("1 : 2", "1 2"),
        ("＜5", "＞5"),
    ],
)
def test_different_statements(one: str, other: str) -> None:
    assert fingerprint(one) != fingerprint(other)


@given(st.text())
def test_any_text_has_one_that_spacing_does_not_change(text: str) -> None:
    mark = fingerprint(text)
    assert len(mark) == 32
    assert fingerprint(f" {text} .") == mark


def _bare(text: str) -> str:
    """All of a text that could carry meaning, and its words as they are parted."""
    usual = "".join(
        unicodedata.normalize("NFKC", c) if unicodedata.decomposition(c).startswith(("<wide>", "<narrow>")) else c
        for c in text
    )
    kept = (c for c in unicodedata.normalize("NFC", usual).casefold() if c not in HARMLESS)
    return SPACE.sub(" ", unicodedata.normalize("NFC", "".join(kept))).strip()


statements = st.text(st.sampled_from(f"aBß5 0{HARMLESS}{MEANINGFUL}＜５"), max_size=8) | st.text(max_size=8)


@given(statements, statements)
def test_texts_that_differ_in_more_than_harmless_punctuation_never_share_one(one: str, other: str) -> None:
    assume(_bare(one) != _bare(other))
    assert fingerprint(one) != fingerprint(other)


@given(statements, st.sampled_from(MEANINGFUL), statements)
def test_no_meaningful_sign_is_lost_anywhere(before: str, sign: str, after: str) -> None:
    assert fingerprint(before + sign + after) != fingerprint(before + after)
    assert fingerprint(f"{before} {sign} {after}") != fingerprint(f"{before} {after}")


@given(statements, st.integers(0, 99), st.sampled_from([".", ",", "-", "(", "[", '"', "'"]), statements)
def test_nor_is_any_before_a_number(before: str, number: int, sign: str, after: str) -> None:
    assert fingerprint(f"{before} {sign}{number} {after}") != fingerprint(f"{before} {number} {after}")
