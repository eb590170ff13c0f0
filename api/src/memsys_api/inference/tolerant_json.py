"""Reads the JSON that language models write: with thoughts, prose and code fences around it, trailing commas, cut off.

A repair library would also close a string that was cut off, and half a fact would be stored as a whole one
("lives in New" for "lives in New York"). Here what was cut off is left out, and what is complete is kept. Pure.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

LONGEST_ANSWER = 200_000  # characters; more is no answer but a model that runs wild
_DEEPEST = 32  # levels of nesting; the agreed form has 4
_ATTEMPTS = 8  # places where JSON may begin, in an answer with prose around it

_THOUGHT = re.compile(r"\s*<(think|thinking|reasoning)>", re.IGNORECASE)
_START = re.compile(r"[{\[]")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\\?\Z)', re.DOTALL)  # the last one may be cut off
_TOKEN = re.compile(_STRING.pattern + r"|[{}\[\]]", re.DOTALL)
_CLOSER = {"{": "}", "[": "]"}


class NotJson(ValueError):
    """The text holds no JSON object or array. The message tells the model what was wrong."""


@dataclass(frozen=True, slots=True)
class Parsed:
    value: Any
    truncated: bool


def loads(text: str) -> Parsed:
    """Return the largest JSON object or array in ``text``. Raises :class:`NotJson` and nothing else."""
    if len(text) > LONGEST_ANSWER:
        raise NotJson(f"the answer has {len(text)} characters, at most {LONGEST_ANSWER} are read")
    text = _without_thoughts(text)
    if not text.strip():
        raise NotJson("the answer is empty")
    best: tuple[int, Parsed] | None = None
    position, error = 0, "there is no { or [ in the answer"
    for _ in range(_ATTEMPTS):
        start = _START.search(text, position)
        if start is None:
            break
        end, parsed, problem = _read(text, start.start())
        if parsed is None:
            error, position = problem, start.end()
            continue
        if best is None or end - start.start() > best[0]:
            best = (end - start.start(), parsed)
        position = end
    if best is None:
        raise NotJson(error)
    return best[1]


def _without_thoughts(text: str) -> str:
    opening = _THOUGHT.match(text)
    if opening is None:
        return text
    closing = text.casefold().find(f"</{opening[1].casefold()}>", opening.end())
    if closing < 0:
        raise NotJson("the answer ends within the thoughts, before any JSON")
    return text[text.index(">", closing) + 1 :]


def _read(text: str, start: int) -> tuple[int, Parsed | None, str]:
    """Read one object or array that begins at ``start``: where it ends, what it holds, or why it cannot be read."""
    end, complete = _extent(text, start)
    if complete:
        value, problem = _decode(_without_trailing_commas(text[start:end]))
        return end, None if problem else Parsed(value, truncated=False), problem
    value, problem = _salvage(text[start:])
    return len(text), None if problem else Parsed(value, truncated=True), problem


def _extent(text: str, start: int) -> tuple[int, bool]:
    open_brackets: list[str] = []
    for token in _TOKEN.finditer(text, start):
        mark = token.group()
        if mark in _CLOSER:
            open_brackets.append(_CLOSER[mark])
        elif open_brackets and mark == open_brackets[-1]:
            open_brackets.pop()
            if not open_brackets:
                return token.end(), True
    return len(text), False


def _salvage(text: str) -> tuple[Any, str]:
    """Read what is complete of a text that was cut off: cut behind the last whole element, close what is open."""
    open_brackets: list[str] = []
    cut: tuple[int, str] | None = None
    for token in _TOKEN.finditer(text):
        mark = token.group()
        if mark in _CLOSER:
            open_brackets.append(_CLOSER[mark])
        elif open_brackets and mark == open_brackets[-1]:
            open_brackets.pop()
            if open_brackets and open_brackets[-1] == "]":  # an element of a list is complete
                cut = (token.end(), "".join(reversed(open_brackets)))
        if len(open_brackets) > _DEEPEST:
            return None, f"the answer is nested deeper than {_DEEPEST} levels"
    if cut is None:
        return None, "the answer is cut off before its first complete element"
    return _decode(_without_trailing_commas(text[: cut[0]] + cut[1]))


def _without_trailing_commas(text: str) -> str:
    pieces: list[str] = []
    position = 0
    for string in _STRING.finditer(text):
        pieces += [re.sub(r",(\s*[}\]])", r"\1", text[position : string.start()]), string.group()]
        position = string.end()
    return "".join([*pieces, re.sub(r",(\s*[}\]])", r"\1", text[position:])])


def _decode(text: str) -> tuple[Any, str]:
    try:
        return json.loads(text, strict=False, parse_constant=lambda _: None), ""
    except RecursionError:
        return None, "the answer is nested too deeply"
    except ValueError as error:  # also numbers too long for Python to read
        return None, f"it is not JSON: {error}"
