"""What a call cost, as each provider's response tells it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from memsys_api.inference.types import Usage

BYTES_PER_TOKEN = 4  # of UTF-8: about right for English, and on the safe side for scripts of more bytes a character
_INPUT = ("prompt_tokens", "input_tokens", "prompt_eval_count", "prompt_token_count")
_OUTPUT = ("completion_tokens", "output_tokens", "eval_count", "candidates_token_count")
_HOLDERS = ("usage", "usage_metadata")
_CUT_OFF = frozenset({"length", "max_tokens"})


def read_usage(response: object) -> Usage | None:
    """Return the usage that a raw response of OpenAI's, Ollama's, Anthropic's or Google's form reports."""
    for holder in (*(_get(response, name) for name in _HOLDERS), response):
        sent, answered = _count(holder, _INPUT), _count(holder, _OUTPUT)
        if sent is not None and answered is not None:
            return Usage(sent, answered, calls=1)
    return None


def was_cut_off(response: object) -> bool:
    """Whether the model stopped because it ran out of tokens."""
    choices = _get(response, "choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    reasons = (_get(first, "finish_reason"), _get(response, "done_reason"), _get(response, "stop_reason"))
    return any(reason in _CUT_OFF for reason in reasons if isinstance(reason, str))


def estimate(prompt: Sequence[str], answer: str) -> Usage:
    return Usage(
        sum(map(_bytes, prompt)) // BYTES_PER_TOKEN,
        _bytes(answer) // BYTES_PER_TOKEN,
        calls=1,
        estimated=True,
    )


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "replace"))


def _get(value: object, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else getattr(value, name, None)


def _count(holder: object, names: Sequence[str]) -> int | None:
    counts = (_get(holder, name) for name in names)
    return next((count for count in counts if isinstance(count, int) and not isinstance(count, bool)), None)
