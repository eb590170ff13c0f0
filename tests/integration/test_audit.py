"""Every change leaves one line in the audit trail, in its own transaction, and nobody who serves can take it back."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from memsys import Delegation
from memsys_api.store import audit
from tests.support.scripted_llm import ScriptedLLM
from tests.support.scripted_qdrant import ScriptedQdrant

from .conftest import ADMIN_KEY, Dsn, Fleet, MakeKey, Replica
from .support.parts import MemorySink
from .test_inference_flow import llm_settings

TEXT = "Then Caroline gave Melanie a tortoise"
HOOK = {"url": "https://192.0.9.1/", "active": False}  # never called

# What every route that may change something is called with, after one memory was added. A route that is called by
# something else than GET and is not named here fails the test: name it, and see that it leaves a line.
Ask = Callable[[dict[str, Any]], tuple[str, dict[str, Any] | str | None]]
CHANGES: dict[tuple[str, str], Ask] = {
    ("post", "/memories"): lambda made: ("/memories", {"text": TEXT}),
    ("put", "/memories/{memory_id}"): lambda made: (f"/memories/{made['id']}", {"text": "another"}),
    ("delete", "/memories/{memory_id}"): lambda made: (f"/memories/{made['id']}", None),
    ("delete", "/memories"): lambda made: ("/memories?user_id=u", None),
    ("post", "/keys"): lambda made: ("/keys", {"name": "k", "projects": ["default"]}),
    ("put", "/keys/{key_id}"): lambda made: (
        f"/keys/{uuid4().hex[:12]}",
        {"name": "k", "projects": ["default"], "secrets": [{"sha256": "0" * 64}]},
    ),
    ("post", "/keys/{key_id}/rotate"): lambda made: (f"/keys/{made['key_id']}/rotate", {}),
    ("delete", "/keys/{key_id}"): lambda made: (f"/keys/{made['key_id']}", None),
    ("put", "/policy"): lambda made: ("/policy", {"quarantine": "flag"}),
    ("post", "/quarantine/{review_id}/release"): lambda made: (f"/quarantine/{made['review_id']}/release", None),
    ("post", "/quarantine/{review_id}/reject"): lambda made: (f"/quarantine/{made['review_id']}/reject", None),
    ("post", "/erasures"): lambda made: ("/erasures", {"user_id": "u"}),
    ("post", "/erasures/replay"): lambda made: (
        "/erasures/replay",
        {
            "project": "default",
            "id": str(uuid4()),
            "scope": {"user_id": "u"},
            "requested_by": "admin",
            "requested_at": "2026-01-01T00:00:00Z",
            "recorded_before": "2026-01-01T00:00:00Z",
        },
    ),
    ("post", "/entities/merge"): lambda made: ("/entities/merge", {"from": "caroline", "into": "melanie"}),
    ("post", "/entities/unmerge"): lambda made: ("/entities/unmerge", {"from": "caroline"}),
    ("post", "/import"): lambda made: (
        "/import",
        '{"format": "memsys-export", "version": 1}\n'
        f'{{"id": "{uuid4()}", "memory": "mine"}}\n{{"end": true, "versions": 1}}\n',
    ),
    ("post", "/sinks/{name}/sync"): lambda made: ("/sinks/graph/sync", None),
    ("post", "/graph/rebuild"): lambda made: ("/graph/rebuild", None),
    ("post", "/graph/sync"): lambda made: ("/graph/sync", None),
    ("post", "/memories/batch"): lambda made: ("/memories/batch", {"requests": [{"text": TEXT}]}),
    ("post", "/inferences/sync"): lambda made: ("/inferences/sync", None),
    ("post", "/webhooks"): lambda made: ("/webhooks", HOOK),
    ("patch", "/webhooks/{webhook_id}"): lambda made: (f"/webhooks/{made['webhook_id']}", {"description": "another"}),
    ("delete", "/webhooks/{webhook_id}"): lambda made: (f"/webhooks/{made['webhook_id']}", None),
    ("post", "/webhooks/{webhook_id}/replay"): lambda made: (f"/webhooks/{made['webhook_id']}/replay", {}),
    ("post", "/v3/memories/add/"): lambda made: ("/v3/memories/add/", {"messages": TEXT, "user_id": "u"}),
    ("put", "/v1/memories/{memory_id}/"): lambda made: (f"/v1/memories/{made['id']}/", {"text": "another"}),
    ("delete", "/v1/memories/{memory_id}/"): lambda made: (f"/v1/memories/{made['id']}/", None),
    ("delete", "/v1/memories/"): lambda made: ("/v1/memories/?user_id=u", None),
    ("put", "/v1/batch/"): lambda made: ("/v1/batch/", {"memories": [{"memory_id": made["id"], "text": "another"}]}),
    ("delete", "/v1/batch/"): lambda made: ("/v1/batch/", {"memories": [{"memory_id": made["id"]}]}),
    ("post", "/v1/feedback/"): lambda made: ("/v1/feedback/", {"memory_id": made["id"], "feedback": "POSITIVE"}),
    ("delete", "/v1/entities/{kind}/{name}/"): lambda made: ("/v1/entities/user/u/", None),
    ("delete", "/v2/entities/{kind}/{name}/"): lambda made: ("/v2/entities/user/u/", None),
}
WITH_VECTORS = {("post", "/sinks/{name}/refill")}  # refused without an external vector index
WITH_A_MODEL = {("post", "/v1/exports/")}  # refused without a language model; its own tests look at its lines
READS = {
    ("post", "/search"), ("post", "/v3/memories/"), ("post", "/v3/memories/search/"), ("post", "/v1/exports/get/"),
}  # fmt: skip


# Which lines each of these leaves; those that are not here leave one of what they add.
ACTIONS: dict[tuple[str, str], set[str]] = {
    ("put", "/memories/{memory_id}"): {"memory.updated"},
    ("delete", "/memories/{memory_id}"): {"memory.deleted"},
    ("delete", "/memories"): {"memory.deleted"},
    ("post", "/keys"): {"key.created"},
    ("put", "/keys/{key_id}"): {"key.created"},
    ("post", "/keys/{key_id}/rotate"): {"key.updated"},
    ("delete", "/keys/{key_id}"): {"key.revoked"},
    ("put", "/policy"): {"policy.updated"},
    ("post", "/quarantine/{review_id}/release"): {"quarantine.released", "memory.added"},
    ("post", "/quarantine/{review_id}/reject"): {"quarantine.rejected"},
    ("post", "/erasures"): {"erasure.requested"},
    ("post", "/erasures/replay"): {"erasure.requested"},
    ("post", "/entities/merge"): {"merge.created"},
    ("post", "/entities/unmerge"): {"merge.updated"},
    ("post", "/sinks/{name}/sync"): {"sink.synced"},
    ("post", "/graph/rebuild"): {"graph.rebuilt"},
    ("post", "/graph/sync"): {"graph.synced"},
    ("post", "/inferences/sync"): {"inference.requeued"},
    ("post", "/webhooks"): {"webhook.created"},
    ("patch", "/webhooks/{webhook_id}"): {"webhook.updated"},
    ("delete", "/webhooks/{webhook_id}"): {"webhook.deleted"},
    ("post", "/webhooks/{webhook_id}/replay"): {"webhook.replayed"},
    ("post", "/v1/feedback/"): {"feedback.created"},
    ("put", "/v1/memories/{memory_id}/"): {"memory.updated"},
    ("delete", "/v1/memories/{memory_id}/"): {"memory.deleted"},
    ("delete", "/v1/memories/"): {"memory.deleted"},
    ("put", "/v1/batch/"): {"memory.updated"},
    ("delete", "/v1/batch/"): {"memory.deleted"},
    ("delete", "/v1/entities/{kind}/{name}/"): {"memory.deleted"},
    ("delete", "/v2/entities/{kind}/{name}/"): {"memory.deleted"},
}


async def _trail(api: Replica, **question: Any) -> list[dict[str, Any]]:
    answer = await api.client.get("/audit", params=question)
    assert answer.status_code == 200, answer.text
    results: list[dict[str, Any]] = answer.json()["results"]
    return results


async def test_every_route_that_changes_something_leaves_its_line(graphed: Replica) -> None:
    paths = (await graphed.client.get("/openapi.json")).json()["paths"]
    operations = {(method, path) for path, methods in paths.items() for method in methods if method != "get"}
    unsupported = {o for o in operations if set(paths[o[1]][o[0]]["responses"]) <= _REFUSALS}
    assert operations - unsupported - READS - WITH_VECTORS - WITH_A_MODEL == CHANGES.keys()
    found = {}
    for (method, path), ask in CHANGES.items():
        made = await _something(graphed)
        target, body = ask(made)
        kind = "x-ndjson" if target in ("/erasures/replay", "/import") else "json"
        content = json.dumps(body) if isinstance(body, dict) else body
        headers = {"Content-Type": f"application/{kind}"}
        answer, lines = await _asked(graphed, method, target, content=content, headers=headers)
        assert answer.is_success, (method, path, answer.text)
        assert len({line["action"] for line in lines}) == len(lines), (method, path, lines)
        assert {line["actor"] for line in lines} == {"admin"}, (method, path)
        found[method, path] = {line["action"] for line in lines}
    expected = {operation: ACTIONS.get(operation, {"memory.added"}) for operation in CHANGES}
    assert {o: lines for o, lines in found.items() if lines != expected[o]} == {}


async def test_no_route_that_reads_leaves_a_line_but_those_that_hand_out_much(graphed: Replica) -> None:
    paths = (await graphed.client.get("/openapi.json")).json()["paths"]
    made = await _something(graphed)
    bodies: dict[str, Any] = {"/search": {"query": TEXT}, "/v3/memories/search/": {"query": TEXT}}
    asked = [("post", path) for _, path in READS] + [("get", path) for path in paths if "get" in paths[path]]
    found = {}
    for method, path in asked:
        target = re.sub(r"{(\w+)}", lambda name: str(made.get(name[1], made["id"])), path)
        if path.endswith("/paths"):
            target += "?from=caroline&to=melanie"
        json_body = bodies.get(path, {}) | ({"filters": {"user_id": "u"}} if method == "post" else {})
        answer, lines = await _asked(graphed, method, target, **({"json": json_body} if method == "post" else {}))
        assert answer.status_code < 500 or answer.status_code == 501, (path, answer.text)
        if lines:
            found[path] = {line["action"] for line in lines}
    assert found == {
        "/export": {"project.exported"},
        "/erasures/ledger": {"erasure.exported"},
        "/quarantine": {"quarantine.read"},
    }


async def test_what_needs_a_model_or_an_index_is_audited_too(fleet: Fleet) -> None:
    with ScriptedLLM() as llm, ScriptedQdrant(key="k") as index:
        store = {"VECTOR_STORE": "qdrant", "VECTOR_STORE_URL": index.url, "VECTOR_STORE_API_KEY": "k"}
        async with fleet.replica(sink=MemorySink(), **llm_settings(llm), **store) as api:
            await api.add(TEXT, user_id="u", infer=False)
            refilled, lines = await _asked(api, "post", "/sinks/vectors/refill")
            assert (refilled.is_success, [line["action"] for line in lines]) == (True, ["sink.refilled"]), refilled.text
            schema = {"type": "object", "properties": {"who": {"type": "string"}}}
            body = {"schema": schema, "filters": {"user_id": "u"}}
            asked, lines = await _asked(api, "post", "/v1/exports/", json=body)
            assert (asked.is_success, [line["action"] for line in lines]) == (True, ["export.created"]), asked.text


async def _something(api: Replica) -> dict[str, Any]:
    """Something of each kind that a path may name, with its ids by the paths' names."""
    memory = (await api.add(TEXT, user_id="u"))[0]
    key = await api.client.post("/keys", json={"name": "k", "projects": ["default"]})
    hook = await api.client.post("/webhooks", json=HOOK)
    await api.client.put("/policy", json={"quarantine": "hold"})
    held = await api.client.post("/memories", json={"text": f"{TEXT}, the password is Tr0ub4dor-and-3"})
    await api.client.put("/policy", json={"quarantine": "off"})
    ids = {"key_id": key, "webhook_id": hook, "review_id": held}
    return memory | {name: _id(answer) for name, answer in ids.items()} | {"entity_key": "caroline", "name": "graph"}


async def _asked(api: Replica, method: str, target: str, **request: Any) -> tuple[httpx.Response, list[dict[str, Any]]]:
    """A request's answer, and the lines that it has left: without a word of any memory."""
    request_id = uuid4().hex
    headers = {"X-Request-ID": request_id, **request.pop("headers", {})}
    answer = await api.client.request(method, target, headers=headers, **request)
    lines = [line for line in await _trail(api, limit=20) if line["request_id"] == request_id]
    assert TEXT not in str(lines)
    assert "Tr0ub4dor" not in str(lines)
    return answer, lines


def _id(answer: httpx.Response) -> str:
    found = answer.json()
    return str(found["id"] if "id" in found else found["results"][0]["review_id"])


_REFUSALS = {"400", "401", "403", "413", "429", "500", "501", "503"}


async def test_a_line_says_who_did_what_to_which(api: Replica, keyed: MakeKey) -> None:
    async with keyed(name="agent seven") as client:
        added = await client.post("/memories", json={"messages": [{"role": "user", "content": t} for t in "ab"]})
        ids = [result["id"] for result in added.json()["results"]]
        await client.delete(f"/memories/{ids[0]}")
    deleted, was_added, created = await _trail(api)
    assert created["action"] == "key.created"
    assert (was_added["action"], was_added["target"]) == ("memory.added", None)
    assert was_added["detail"] == {"count": 2, "memory_ids": ids}
    assert (deleted["action"], deleted["target"]) == ("memory.deleted", ids[0])
    assert deleted["actor"] == was_added["actor"] == created["target"]
    assert deleted["actor_name"] == "agent seven"


async def test_a_line_says_on_whose_behalf_a_key_was_used(api: Replica, keyed: MakeKey) -> None:
    async with keyed(name="mcp-server") as client:
        key = client.headers["authorization"].removeprefix("Bearer ")
        scope = Delegation("ann", ("*",), ("write",)).sign(key, time.time())
        written = await client.post("/memories", json={"text": "x"}, headers={"X-Memsys-Scope": scope})
        assert written.status_code == 200, written.text
        assert (await client.get("/memories", headers={"X-Memsys-Scope": scope})).status_code == 403
        assert (await client.get("/memories", headers={"X-Memsys-Scope": scope[:-4]})).status_code == 401
    added, created = await _trail(api)
    assert added["actor"] == f"{created['target']} for ann"
    assert added["actor_name"] == "mcp-server"
    assert await _trail(api, actor=created["target"]) == await _trail(api, actor=added["actor"]) == [added]


async def test_it_is_filtered_and_paged(api: Replica, keyed: MakeKey) -> None:
    first, second = [(await api.add(f"memory {n}"))[0]["id"] for n in range(2)]
    both = (await api.add([{"role": "user", "content": "x"}, {"role": "user", "content": "y"}]))[0]["id"]
    await api.client.delete(f"/memories/{first}")
    async with keyed() as client:
        await client.post("/memories", json={"text": "z"})
    assert [line["action"] for line in await _trail(api, target=first)] == ["memory.deleted", "memory.added"]
    assert len(await _trail(api, target=both)) == 1
    assert {line["actor"] for line in await _trail(api, actor="admin")} == {"admin"}
    assert len(await _trail(api, action="memory.added")) == 4
    assert len(await _trail(api, action="memory")) == 5
    assert await _trail(api, action="mem") == []
    whole = await _trail(api)
    assert await _trail(api, since=whole[1]["at"], until=whole[0]["at"]) == whole[1:2]
    seen, cursor = [], None
    while True:
        page = (await api.client.get("/audit", params={"limit": 2} | ({"cursor": cursor} if cursor else {}))).json()
        seen += page["results"]
        if (cursor := page["next_cursor"]) is None:
            break
    assert seen == whole
    assert second in str(whole)


async def test_only_an_administrator_of_the_project_reads_it(api: Replica, keyed: MakeKey) -> None:
    await api.add("of the default project")
    async with keyed() as client:
        assert (await client.get("/audit")).status_code == 403
    async with keyed(projects=["other"], rights=["admin"]) as client:
        assert {line["action"] for line in (await client.get("/audit")).json()["results"]} == {"key.created"}


async def test_a_change_that_fails_leaves_no_line(api: Replica) -> None:
    assert (await api.client.delete(f"/memories/{uuid4()}")).status_code == 404
    assert (await api.client.delete("/memories", params={"user_id": "nobody"})).json()["deleted"] == 0
    assert await _trail(api) == []


async def test_a_change_past_the_api_names_the_role(api: Replica, dsn: Dsn) -> None:
    key = (await api.client.post("/keys", json={"name": "k", "projects": ["default"]})).json()["id"]
    with psycopg.connect(dsn.owner, autocommit=True) as conn:
        conn.execute("UPDATE keys SET rights = '{read,write,admin}' WHERE id = %s", (key,))
    latest = (await _trail(api))[0]
    assert (latest["actor"], latest["action"], latest["target"]) == ("role:memsys_owner", "key.updated", key)


@pytest.mark.parametrize("statement", ["UPDATE audit SET actor = 'x'", "DELETE FROM audit", "TRUNCATE audit"])
async def test_the_serving_role_cannot_take_a_line_back(api: Replica, dsn: Dsn, statement: str) -> None:
    await api.add("something")
    with psycopg.connect(dsn.app, autocommit=True) as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
        conn.execute(statement)
    assert len(await _trail(api)) == 1


async def test_it_goes_back_only_so_far(api: Replica, dsn: Dsn) -> None:
    await api.add("old")
    with psycopg.connect(dsn.superuser, autocommit=True) as conn:
        conn.execute("UPDATE audit SET at = %s", (datetime.now(UTC) - timedelta(days=40),))
    await api.add("new")
    assert await audit.forget(dsn.owner, timedelta(days=30)) == 1
    assert len(await _trail(api)) == 1


async def test_no_key_and_no_text_is_in_it(api: Replica) -> None:
    made = (await api.client.post("/keys", json={"name": "k", "projects": ["default"]})).json()
    await api.add(TEXT, metadata={"note": TEXT})
    await api.search(TEXT)
    found = (await api.client.get("/audit")).text
    assert made["key"] not in found
    assert TEXT not in found
    assert ADMIN_KEY not in found
