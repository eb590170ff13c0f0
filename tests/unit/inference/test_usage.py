from types import SimpleNamespace

import pytest

from memsys_api.inference.types import Usage
from memsys_api.inference.usage import estimate, read_usage, was_cut_off

OPENAI = SimpleNamespace(
    usage=SimpleNamespace(prompt_tokens=7, completion_tokens=3), choices=[SimpleNamespace(finish_reason="length")]
)
OLLAMA = {"prompt_eval_count": 7, "eval_count": 3, "done_reason": "length"}
ANTHROPIC = SimpleNamespace(usage=SimpleNamespace(input_tokens=7, output_tokens=3), stop_reason="max_tokens")
GEMINI = SimpleNamespace(usage_metadata=SimpleNamespace(prompt_token_count=7, candidates_token_count=3))


@pytest.mark.parametrize("response", [OPENAI, OLLAMA, ANTHROPIC, GEMINI])
def test_usage_of_every_protocol(response: object) -> None:
    assert read_usage(response) == Usage(7, 3, calls=1)


@pytest.mark.parametrize("response", [None, {}, SimpleNamespace(usage=None), {"usage": {"prompt_tokens": "7"}}, "text"])
def test_no_usage_is_no_usage(response: object) -> None:
    assert read_usage(response) is None


def test_cut_off() -> None:
    assert all(was_cut_off(response) for response in (OPENAI, OLLAMA, ANTHROPIC))
    assert not any(was_cut_off(response) for response in (GEMINI, None, {"done_reason": "stop"}))


def test_estimates_say_that_they_are_and_stay_so_in_sums() -> None:
    assert estimate(["x" * 40, "y" * 40], "z" * 8) == Usage(20, 2, calls=1, estimated=True)
    assert Usage(1, 1, 1) + estimate(["x" * 4], "") == Usage(2, 1, calls=2, estimated=True)
