"""ServiceAccounts' tokens over HTTP. The apiserver here answers as it is told; a real one is asked in `contract/`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from memsys_api.access.token_review import TokenReviewer

from .conftest import Fleet, Replica
from .support.waiting import until

TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjk5OTk5OTk5OTl9.c2ln"  # it ends in 2286
SUBJECT = "system:serviceaccount:team:agent"
ID = "abcdefghijkl"


class Cluster:
    """An apiserver that knows one token."""

    status = 201
    good = True

    def __call__(self, request: httpx.Request) -> httpx.Response:
        review = {"authenticated": self.good, "user": {"username": SUBJECT}, "audiences": ["memsys.dev"]}
        return httpx.Response(self.status, json={"status": review})


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
async def api(fleet: Fleet, cluster: Cluster, tmp_path: Path) -> AsyncIterator[Replica]:
    """A replica that has tokens reviewed."""
    (tmp_path / "token").write_text("own")
    (tmp_path / "ca.crt").write_text("")
    async with fleet.replica(
        MEMSYS_TOKEN_REVIEW="on", KUBERNETES_SERVICE_HOST="127.0.0.1", MEMSYS_KUBERNETES_DIR=tmp_path
    ) as replica:
        reviewer = replica.service.guard._reviewer
        assert isinstance(reviewer, TokenReviewer)
        reviewer._client = httpx.AsyncClient(transport=httpx.MockTransport(cluster))
        yield replica


def _grant(**fields: object) -> dict[str, object]:
    return {"name": "agent", "projects": ["team"], "subject": SUBJECT} | fields


async def test_a_token_does_what_the_key_declared_for_its_account_grants(api: Replica) -> None:
    async with api.as_key(TOKEN) as agent:
        undeclared = await agent.get("/memories")
        assert undeclared.status_code == 403
        assert SUBJECT in undeclared.json()["detail"]
        declared = await api.client.put(f"/keys/{ID}", json=_grant(rights=["read"]))
        assert declared.status_code == 200, declared.text
        assert declared.json()["subject"] == SUBJECT
        assert (await agent.get("/memories")).status_code == 200
        assert (await agent.get("/memories", headers={"X-Memsys-Project": "default"})).status_code == 403
        assert (await agent.post("/memories", json={"text": "x"})).status_code == 403
        await api.client.delete(f"/keys/{ID}")

        async def refused() -> bool:
            return (await agent.get("/memories")).status_code == 403

        await until("the revoked key is refused", refused, 2)


async def test_one_key_stands_for_an_account(api: Replica) -> None:
    assert (await api.client.put(f"/keys/{ID}", json=_grant())).status_code == 200
    second = await api.client.put("/keys/bbbbbbbbbbbb", json=_grant())
    assert second.status_code == 409
    assert second.json()["type"].endswith("/key-conflict")
    await api.client.delete(f"/keys/{ID}")
    assert (await api.client.put("/keys/bbbbbbbbbbbb", json=_grant())).status_code == 200


async def test_an_apiserver_that_is_away_is_503_and_a_bad_token_401(api: Replica, cluster: Cluster) -> None:
    await api.client.put(f"/keys/{ID}", json=_grant())
    async with api.as_key(TOKEN) as agent, api.as_key(f"{TOKEN}x") as other:
        cluster.status = 500
        away = await agent.get("/memories")
        assert away.status_code == 503
        assert away.headers["Retry-After"] == "1"
        assert "apiserver" in away.json()["detail"]
        cluster.status, cluster.good = 201, False
        assert (await agent.get("/memories")).status_code == 401
        cluster.good = True
        assert (await other.get("/memories")).status_code == 200


async def test_a_right_that_the_api_lacks_is_named_and_nobody_told_to_try_again(api: Replica, cluster: Cluster) -> None:
    await api.client.put(f"/keys/{ID}", json=_grant())
    cluster.status = 403
    async with api.as_key(TOKEN) as agent:
        forbidden = await agent.get("/memories")
    assert forbidden.status_code == 503
    assert "tokenReview.serviceAccounts of the operator's chart" in forbidden.json()["detail"]
    assert "try again" not in forbidden.json()["detail"]


async def test_without_reviews_a_token_is_a_wrong_key(fleet: Fleet) -> None:
    async with fleet.replica() as api:
        await api.client.put(f"/keys/{ID}", json=_grant())
        async with api.as_key(TOKEN) as agent:
            assert (await agent.get("/memories")).status_code == 401
