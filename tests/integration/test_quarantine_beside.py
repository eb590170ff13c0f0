"""Suspect words that are no memory: of feedback, merges, webhooks, and in every corner of an import's line."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest

from .conftest import Dsn, Fleet, Replica
from .support.dump import holding
from .test_quarantine import SECRET, SUSPECT, held, policy
from .test_quarantine_many import _file, _import

HOOK = "http://127.0.0.1:9/hook"


@pytest.fixture
async def hooked(fleet: Fleet) -> AsyncIterator[Replica]:
    async with fleet.replica(WEBHOOK_ALLOWED_NETWORKS="127.0.0.0/8") as replica:
        yield replica


@pytest.mark.parametrize("mode", ["hold", "refuse"])
async def test_words_beside_memories_are_refused_by_their_field(hooked: Replica, dsn: Dsn, mode: str) -> None:
    api = hooked
    [one] = await api.add("I met Alexandra Smith and Thomas Miller")
    registered = await api.client.post("/webhooks", json={"url": HOOK})
    assert registered.status_code == 201, registered.text
    webhook = f"/webhooks/{registered.json()['id']}"
    await policy(api, mode)
    asked: list[tuple[str, str, dict[str, Any], str]] = [
        ("POST", "/v1/feedback/", {"memory_id": one["id"], "feedback": "NEGATIVE"}, "feedback_reason"),
        ("POST", "/entities/merge", {"from": "Thomas Miller", "into": "Alexandra Smith"}, "reason"),
        ("POST", "/webhooks", {"url": HOOK}, "description"),
        ("PATCH", webhook, {"active": False}, "description"),
    ]
    for method, path, body, field in asked:
        answer = await api.client.request(method, path, json={**body, field: SUSPECT})
        assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (400, "quarantined"), (path, answer)
        assert [error["field"] for error in answer.json()["errors"]] == [field]
        assert SECRET not in answer.text
    assert holding(dsn.superuser, SECRET) == {}
    assert await held(api) == []
    # And nothing else of the request was done.
    assert (await api.client.get(f"/memories/{one['id']}/feedback")).json()["feedback"] is None
    assert (await api.client.post("/entities/unmerge", json={"from": "Thomas Miller"})).status_code == 404
    assert [hook["active"] for hook in (await api.client.get("/webhooks")).json()["results"]] == [True]
    for method, path, body, field in asked:
        assert (await api.client.request(method, path, json={**body, field: "ordinary"})).is_success, path


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"provenance": {"note": SUSPECT}}, "provenance.note"),
        ({"role": SUSPECT}, "role"),
        ({"speaker": SUSPECT}, "speaker"),
        ({"metadata": {SUSPECT: 1, "another": 2}}, "metadata.*"),
    ],
)
async def test_no_corner_of_a_line_is_overlooked(api: Replica, dsn: Dsn, said: dict[str, Any], field: str) -> None:
    file = _file({"id": str(uuid4()), "memory": "tea", **said})
    await policy(api, "refuse")
    (error,) = (await _import(api, file))["errors"]
    assert error["field"] == field
    assert holding(dsn.superuser, SECRET) == {}
    await policy(api, "flag")
    assert (await _import(api, file))["imported"] == 1
    (memory,) = (await api.client.get("/memories")).json()["results"]
    provenance = (await api.client.get(f"/memories/{memory['id']}")).json()["provenance"]
    assert provenance["quarantine"] == ["password"]
