import pytest
from hypothesis import given
from hypothesis import strategies as st

from memsys_api.inference.trivia import holds_no_fact
from memsys_api.inference.types import Message


def said(*texts: str) -> list[Message]:
    return [Message("user", text) for text in texts]


@pytest.mark.parametrize(
    "text",
    [
        "ok", "OK!", "Thanks!", "thank you so much", "Hi there", "good morning", "haha nice", "👍🎉", "...", "", "  ",
        "Hey, how are you?", "no problem", "You're welcome!", "Got it, thanks", "danke schön", "gracias", "lol",
        "谢谢", "ありがとう", "yes", "No.", "bye, see you later", "sounds good", "merci beaucoup", "\n" * 500,
    ],
)  # fmt: skip
def test_trivia(text: str) -> None:
    assert holds_no_fact(said(text))


@pytest.mark.parametrize(
    "text",
    [
        "I moved to Berlin", "ok, my dog is called Poppy", "42", "Thanks, Marcus", "Good morning from Oslo!", "my",
        "It is all for you", "Hi, I'm Ana", "no more meat for me", "call me later at 5", "吃素", "hello " * 100,
        "I love tea", "night shift", "the",
    ],
)  # fmt: skip
def test_what_might_hold_a_fact_is_not_trivia(text: str) -> None:
    assert not holds_no_fact(said(text))


def test_a_bare_answer_counts_when_something_was_asked() -> None:
    assert holds_no_fact(said("yes"))
    assert not holds_no_fact(said("yes"), answers_something=True)
    assert not holds_no_fact([Message("assistant", "Do you have a dog?"), Message("user", "yes")])


def test_one_message_with_a_fact_is_enough_and_system_messages_are_none() -> None:
    assert not holds_no_fact(said("ok", "I live in Rome", "thanks"))
    assert holds_no_fact([Message("system", "The user lives in Rome"), *said("ok")])
    assert holds_no_fact([])


@given(st.text(max_size=60))
def test_a_name_or_number_beside_trivia_is_never_trivia(text: str) -> None:
    assert not holds_no_fact(said(f"{text} Poppy"))
    assert not holds_no_fact(said(f"7 {text}"))
