"""An API that is away is waited for; one that failed at a request is not taken for that."""

from __future__ import annotations

import json

import pytest

import memsys
from memsys.errors import problem
from memsys_mcp.away import is_away


def answer(status: int, slug: str) -> memsys.ProblemError:
    return problem(status, json.dumps({"type": f"https://memsys.dev/problems/{slug}"}).encode())


@pytest.mark.parametrize(
    "error",
    [
        memsys.Unreachable("x"),
        memsys.CircuitOpen("x", 1.0),
        answer(503, "not-ready"),
        answer(503, "unavailable"),
        problem(502, b"<h1>Bad Gateway</h1>"),
        problem(503, b"no available server"),
        problem(504, b""),
        problem(404, b"404 page not found"),
        problem(405, b"<h1>Not Allowed</h1>"),
        problem(308, b""),
    ],
)
def test_what_every_call_would_meet_is_absence(error: memsys.MemsysError) -> None:
    assert is_away(error)


@pytest.mark.parametrize(
    "error",
    [
        answer(502, "embedder-rejected"),
        answer(503, "too-slow"),
        answer(500, "internal"),
        answer(404, "not-found"),
        answer(405, "method-not-allowed"),
        problem(500, b""),
        problem(429, b""),
        problem(401, b""),
        memsys.UnexpectedAnswer("x"),
    ],
)
def test_what_one_request_meets_is_none(error: memsys.MemsysError) -> None:
    assert not is_away(error)
