import socket

import pytest

from memsys_api.causes import cause, chain, word


class Answered(Exception):
    def __init__(self, status_code: int, code: object, message: str = "said: Zoe moved to Bonn") -> None:
        super().__init__(message)
        self.status_code, self.code = status_code, code


def test_codes_are_told_and_messages_are_not() -> None:
    assert cause(Answered(429, "rate_limit_exceeded")) == "Answered (HTTP 429, rate_limit_exceeded)"
    assert cause(ConnectionRefusedError(111, "Zoe")) == "ConnectionRefusedError (ECONNREFUSED: Connection refused)"
    assert cause(socket.gaierror(-2, "Zoe")) == "gaierror (the name cannot be resolved)"
    assert cause(ValueError("Zoe moved to Bonn")) == "ValueError"


def test_codes_of_what_lies_beneath_are_told_too() -> None:
    error = RuntimeError("Zoe moved to Bonn")
    error.__cause__ = ConnectionResetError(104, "Zoe")
    assert cause(error) == "RuntimeError (ECONNRESET: Connection reset by peer)"


def test_a_chain_that_bites_its_own_tail_ends() -> None:
    error = ValueError()
    error.__cause__ = error
    assert 1 < len(list(chain(error))) < 10


@pytest.mark.parametrize("code", ["insufficient_quota", "Neo.ClientError.Schema.ConstraintValidationFailed"])
def test_a_vendors_word_is_a_code(code: str) -> None:
    assert word(code) == code


@pytest.mark.parametrize("code", ["Zoe moved to Bonn", "sk-a1b2c3", "msk_abcdef123456_x", "", None, 7, "x" * 400])
def test_neither_sentence_nor_key_is_a_code(code: object) -> None:
    assert word(code) is None
