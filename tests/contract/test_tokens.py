"""Tokens of ServiceAccounts, as the API has them reviewed, against the real apiserver."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import jwt
import pytest

from memsys_api.access.token_review import FRESH_SECONDS, ReviewUnavailable, TokenReviewer

from .support import Kubectl

AUDIENCE = "memsys.dev"
STATE = Path(os.environ.get("MEMSYS_STATE") or Path.home() / ".local/state/memsys")


@pytest.fixture
def folder(admin: Kubectl, namespace: Kubectl, tmp_path: Path) -> Path:
    """What kubelet mounts into the pod of the API, whose ServiceAccount may review tokens."""
    namespace("create", "serviceaccount", "m-api")
    binding = f"{namespace.namespace}-m-api"
    account = f"--serviceaccount={namespace.namespace}:m-api"
    admin("create", "clusterrolebinding", binding, "--clusterrole=system:auth-delegator", account)
    config = json.loads(admin("config", "view", "--raw", "--flatten", "-o", "json"))
    authority = config["clusters"][0]["cluster"]["certificate-authority-data"]
    (tmp_path / "ca.crt").write_bytes(base64.b64decode(authority))
    (tmp_path / "token").write_text(namespace("create", "token", "m-api"))
    return tmp_path


@pytest.fixture
async def reviewer(admin: Kubectl, folder: Path) -> AsyncIterator[TokenReviewer]:
    reviewer = TokenReviewer(str(admin.http.base_url).rstrip("/"), folder, AUDIENCE)
    yield reviewer
    await reviewer.close()


def _account(namespace: Kubectl, *flags: str) -> str:
    namespace("create", "serviceaccount", "agent")
    return namespace("create", "token", "agent", *flags).strip()


async def test_a_token_for_this_audience_names_its_service_account(reviewer: TokenReviewer, namespace: Kubectl) -> None:
    token = _account(namespace, f"--audience={AUDIENCE}")
    assert await reviewer.subject(token) == f"system:serviceaccount:{namespace.namespace}:agent"


@pytest.mark.parametrize("flags", [[], ["--audience=someone.else"]])
async def test_a_token_for_another_audience_is_not_good(
    reviewer: TokenReviewer, namespace: Kubectl, flags: list[str]
) -> None:
    assert await reviewer.subject(_account(namespace, *flags)) is None


async def test_a_token_ends_with_its_service_account(admin: Kubectl, folder: Path, namespace: Kubectl) -> None:
    token = _account(namespace, f"--audience={AUDIENCE}")
    now = 0.0
    reviewer = TokenReviewer(str(admin.http.base_url).rstrip("/"), folder, AUDIENCE, clock=lambda: now)
    assert await reviewer.subject(token) is not None
    namespace("delete", "serviceaccount", "agent")
    begun = time.monotonic()
    while await reviewer.subject(token) is not None:  # the apiserver itself remembers a good token for 10 s
        assert time.monotonic() - begun < 15, "the apiserver still finds the token good"
        await asyncio.sleep(0.2)
        now += FRESH_SECONDS
    await reviewer.close()


async def test_an_expired_token_is_not_good(reviewer: TokenReviewer, namespace: Kubectl, cluster_name: str) -> None:
    """Made with the cluster's own key, because the apiserver makes none for less than ten minutes."""
    token = _account(namespace, f"--audience={AUDIENCE}")
    claims = jwt.decode(token, options={"verify_signature": False})
    key = (STATE / cluster_name / "pki/sa.key").read_text()
    header = jwt.get_unverified_header(token)
    for earlier, good in ((0, True), (7200, False)):
        moved = claims | {field: claims[field] - earlier for field in ("exp", "iat", "nbf")}
        again = jwt.encode(moved, key, algorithm=header["alg"], headers={"kid": header["kid"]})
        assert (await reviewer.subject(again) is not None) == good


async def test_a_forged_token_is_not_good(reviewer: TokenReviewer, namespace: Kubectl) -> None:
    head, claims, signature = _account(namespace, f"--audience={AUDIENCE}").split(".")
    assert await reviewer.subject(f"{head}.{claims}.{signature[::-1]}") is None


async def test_an_apiserver_that_is_away_or_forbids_says_nothing_of_a_token(
    admin: Kubectl, folder: Path, namespace: Kubectl
) -> None:
    token = _account(namespace, f"--audience={AUDIENCE}")
    away = TokenReviewer("https://127.0.0.1:1", folder, AUDIENCE)
    with pytest.raises(ReviewUnavailable, match="ConnectError"):
        await away.subject(token)
    (folder / "token").write_text(namespace("create", "token", "agent"))  # which may review nothing
    forbidden = TokenReviewer(str(admin.http.base_url).rstrip("/"), folder, AUDIENCE)
    with pytest.raises(ReviewUnavailable, match=r"tokenReview\.serviceAccounts of the operator's chart"):
        await forbidden.subject(token)
    await forbidden.close()
