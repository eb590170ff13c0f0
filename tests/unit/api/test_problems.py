"""Problem documents."""

from __future__ import annotations

import orjson
import pytest

from memsys_api import problems
from memsys_api.problems import FieldError, ProblemError, invalid, render


def test_slugs_are_unique_and_keep_their_form() -> None:
    slugs = [kind.slug for kind in problems.KINDS]
    assert len(set(slugs)) == len(slugs)
    assert all(slug.replace("-", "").isalpha() and slug.islower() for slug in slugs)


def test_every_kind_there_is_is_listed() -> None:
    assert {k for k in vars(problems).values() if isinstance(k, problems.Kind)} == set(problems.KINDS)


@pytest.mark.parametrize("kind", problems.KINDS, ids=lambda kind: kind.slug)
def test_a_problem_renders_whole(kind: problems.Kind) -> None:
    error = ProblemError(kind, "what and what to do", errors=[FieldError("f", "is bad")], retry_after=3)
    answer = render(error, "/keys")
    assert answer.status_code == kind.status
    assert answer.headers["retry-after"] == "3"
    assert orjson.loads(answer.body) == {
        "type": f"https://memsys.dev/problems/{kind.slug}",
        "title": kind.title,
        "status": kind.status,
        "detail": "what and what to do",
        "instance": "/keys",
        "errors": [{"field": "f", "message": "is bad"}],
    }


@pytest.mark.parametrize(("path", "media_type"), [
    ("/memories", "application/json"), ("/memories/x/history", "application/json"), ("/search", "application/json"),
    ("/v1/ping/", "application/json"), ("/v3/memories/add/", "application/json"),
    ("/reset", "application/json"), ("/api/v1/webhooks/1/", "application/json"),
    ("/keys", "application/problem+json"), ("/graph/sync", "application/problem+json"),
])  # fmt: skip
def test_mem0_s_paths_answer_what_its_clients_parse(path: str, media_type: str) -> None:
    assert render(invalid("f", "is bad"), path).headers["content-type"] == media_type
