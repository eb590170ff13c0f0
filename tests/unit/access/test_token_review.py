"""What the reviewer makes of an apiserver's answers, and for how long. The apiserver here is a transport; the contract
tests ask a real one."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from memsys_api.access import token_review
from memsys_api.access.token_review import FRESH_SECONDS, ReviewUnavailable, TokenReviewer, is_token

SUBJECT = "system:serviceaccount:team:agent"
GOOD = {"authenticated": True, "user": {"username": SUBJECT}, "audiences": ["memsys.dev"]}


def _jwt(**claims: Any) -> str:
    return "eyJh." + urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=") + ".c2ln"


class Cluster:
    """A reviewer with a clock, whose apiserver answers as it is told."""

    def __init__(self, folder: Path) -> None:
        (folder / "token").write_text("own-token\n")
        self.now = 1000.0
        self.asked: list[dict[str, Any]] = []
        self.answer: Callable[[httpx.Request], httpx.Response] = lambda _: self.status(GOOD)
        self.reviewer = TokenReviewer(
            "https://apiserver", folder, "memsys.dev", clock=lambda: self.now, today=lambda: self.now
        )
        self.reviewer._client = httpx.AsyncClient(transport=httpx.MockTransport(self._serve))

    @staticmethod
    def status(status: dict[str, Any], code: int = 201) -> httpx.Response:
        return httpx.Response(code, json={"status": status})

    def _serve(self, request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"] == "Bearer own-token"
        self.asked.append(json.loads(request.content)["spec"])
        return self.answer(request)


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path)


async def test_an_answer_is_remembered_briefly(cluster: Cluster) -> None:
    token = _jwt(exp=99_999)
    assert await cluster.reviewer.subject(token) == SUBJECT
    cluster.answer = lambda _: cluster.status({"authenticated": False})
    cluster.now += FRESH_SECONDS - 0.1
    assert await cluster.reviewer.subject(token) == SUBJECT
    cluster.now += 0.2
    assert await cluster.reviewer.subject(token) is None
    assert cluster.asked == [{"token": token, "audiences": ["memsys.dev"]}] * 2


async def test_nothing_is_remembered_past_the_token_s_end(cluster: Cluster) -> None:
    token = _jwt(exp=cluster.now + 2)
    await cluster.reviewer.subject(token)
    cluster.now += 2
    await cluster.reviewer.subject(token)
    assert len(cluster.asked) == 2


@pytest.mark.parametrize("status", [
    {},
    {"authenticated": False, "error": "expired"},
    GOOD | {"authenticated": "true"},
    GOOD | {"audiences": ["https://kubernetes.default.svc"]},
    GOOD | {"audiences": []},
    {k: v for k, v in GOOD.items() if k != "audiences"},
    GOOD | {"user": {"username": "kubernetes-admin"}},
    {k: v for k, v in GOOD.items() if k != "user"},
])  # fmt: skip
async def test_only_a_service_account_s_token_for_this_audience_is_good(
    cluster: Cluster, status: dict[str, Any]
) -> None:
    cluster.answer = lambda _: cluster.status(status)
    assert await cluster.reviewer.subject(_jwt(exp=99_999)) is None


@pytest.mark.parametrize("answer", [
    httpx.Response(500), httpx.Response(403), httpx.Response(429), httpx.Response(201, text="no"),
    httpx.Response(201, json={}), httpx.Response(201, json=[]),
])  # fmt: skip
async def test_an_apiserver_in_trouble_says_nothing_of_the_token(cluster: Cluster, answer: httpx.Response) -> None:
    cluster.answer = lambda _: answer
    with pytest.raises(ReviewUnavailable):
        await cluster.reviewer.subject(_jwt(exp=99_999))
    assert not cluster.reviewer._cache


async def test_memory_is_bounded(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_review, "_REMEMBERED", 3)
    for n in range(5):
        await cluster.reviewer.subject(_jwt(exp=99_999, n=n))
    assert len(cluster.reviewer._cache) == 3


def test_what_has_the_form_of_a_token() -> None:
    assert is_token(_jwt(exp=1))
    for other in ("", "a.b", "a..c", "a.b.c.d", "a.b.c\n", "msk_aaaaaaaaaaaa_b", "é.b.c", "a." + "b" * 20_000 + ".c"):
        assert not is_token(other)
