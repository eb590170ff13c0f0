import pytest

from memsys_api.inference.grounding import grounded, units


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        (
            "User adopted a beagle mix puppy named Max around March 1-2, 2025",
            "I adopted a puppy last weekend, a beagle, Max",
        ),
        ("User painted a sunset in 2023", "I was painting a sunset last year"),
        ("用户喜欢喝绿茶", "我很喜欢绿茶"),
        ("User was born on May 7, 1990", "I was born thirty years ago today: the model resolves dates"),
    ],
)
def test_grounded(statement: str, said: str) -> None:
    assert grounded(statement, units(said))


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("User owns three yachts in Monaco", "I had a sandwich for lunch"),
        ("用户住在东京塔", "hello"),
        ("User earns 95000 dollars yearly", "I had 12 eggs"),
    ],
)
def test_not_grounded(statement: str, said: str) -> None:
    assert not grounded(statement, units(said))


def test_words_of_what_is_replaced_do_not_count_against_it() -> None:
    statement = (
        "User left the position of Senior Platform Reliability Engineer at Shopify Toronto headquarters for Stripe"
    )
    before = "User holds the position of Senior Platform Reliability Engineer at Shopify Toronto headquarters"
    said = units("I switched to Stripe today")
    assert not grounded(statement, said)
    assert grounded(statement, said, known=units(before))


def test_names_of_speakers_count_neither_for_nor_against_it() -> None:
    anna = units("Anna Karlsson")
    assert not grounded("Anna Karlsson owns three yachts", units("I own a boat"), speakers=anna)
    assert not grounded("Anna sold zebras", units("hello there"), speakers=anna)
    assert grounded("Anna Karlsson sleeps", units("I sleep a lot, sleeping is fine"), speakers=anna)
    assert grounded("Anna is the owner", units("me too"), known=units("Robert is the owner"), speakers=anna)
