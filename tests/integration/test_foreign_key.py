"""Every route of the API, walked with keys that are not meant for what they touch.

The routes come from OpenAPI; how to fill in their parameters comes from the recipes here, and a route that needs one
which is not here fails. Whatever the key, nothing of the victim's is read, changed or inferred: what is the victim's
and what never existed are answered alike, in status, shape and time, and no answer changes with the victim's counts.
"""

from __future__ import annotations

import json
import re
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from psycopg import sql

from memsys_api.openapi.document import OPEN_PATHS

from .conftest import Dsn, Fleet, Replica
from .support.by_hand import by_hand
from .support.parts import MemorySink

MARK = "zanzibar"
VICTIM = "victim"
ABSENT = {
    "memory_id": str(uuid4()),
    "key_id": "aaaaaaaaaaaa",
    "webhook_id": str(uuid4()),
    "erasure_id": str(uuid4()),
    "event_id": str(uuid4()),
    "review_id": str(uuid4()),
    "export_id": str(uuid4()),
    "entity_key": "nothing-at-all",
    "name": "nobody-at-all",
}

# What OpenAPI does not say about a path's parameter: which of the victim's things it may name.
SAME_AS = {"entity_id": "name", "job_id": "name", "org_id": "name", "project_id": "name"}
FIXED = {"kind": "user"}
_EXPORT = (
    '{"format": "memsys-export", "version": 1}\n{"id": "{memory_id}", "memory": "mine"}\n{"end": true, "versions": 1}\n'
)
# Queries and bodies that a route needs, or that name something of the victim's. {…} is filled in.
REQUESTS: dict[str, dict[str, Any]] = {
    "POST /memories": {"json": {"text": "mine"}},
    "POST /memories/batch": {"json": {"requests": [{"text": "mine"}]}},
    "GET /memories": {"params": {"user_id": "{name}"}},
    "DELETE /memories": {"params": {"user_id": "{name}"}},
    "PUT /memories/{memory_id}": {"json": {"text": "mine"}},
    "POST /search": {"json": {"query": MARK, "filters": {"memory_ids": ["{memory_id}"]}, "explain": True}},
    "POST /keys": {"json": {"name": "mine", "projects": ["{own}"], "rights": ["read"]}},
    "PUT /keys/{key_id}": {"json": {"name": "mine", "projects": ["{own}"], "secrets": [{"sha256": "0" * 64}]}},
    "POST /keys/{key_id}/rotate": {"json": {"overlap_seconds": 0}},
    "PUT /policy": {"json": {"quarantine": "off"}},
    "GET /audit": {"params": {"target": "{memory_id}"}},
    "POST /import": {"content": _EXPORT},
    "POST /erasures": {"json": {"memory_ids": ["{memory_id}"]}},
    "POST /erasures/replay": {
        "content": '{"project": "{own}", "id": "5ac1d1b5-5e3c-4a86-a9a2-0a6ef6d32a3a", "scope": {"user_id": "v"}, '
        '"requested_by": "k", "requested_at": "2026-01-01T00:00:00Z", "recorded_before": "2026-01-01T00:00:00Z"}'
    },
    "POST /graph/sync": {"params": {"memory_id": "{memory_id}"}},
    "POST /entities/merge": {"json": {"from": "{entity_key}", "into": "{entity_key} too"}},
    "POST /entities/unmerge": {"json": {"from": "{entity_key}"}},
    "GET /graph/paths": {"params": {"from": "{entity_key}", "to": "{entity_key}"}},
    "POST /webhooks": {"json": {"url": "http://127.0.0.1:1/mine", "active": False}},
    "PATCH /webhooks/{webhook_id}": {"json": {"active": False}},
    "POST /webhooks/{webhook_id}/replay": {"json": {}},
    "POST /v3/memories/add/": {"json": {"messages": [{"role": "user", "content": "mine"}], "user_id": "v"}},
    "POST /v3/memories/": {"json": {"filters": {"user_id": "{name}"}}},
    "POST /v3/memories/search/": {"json": {"query": MARK, "filters": {"user_id": "{name}"}}},
    "DELETE /v1/memories/": {"params": {"user_id": "{name}"}},
    "PUT /v1/batch/": {"json": {"memories": [{"memory_id": "{memory_id}", "text": "mine"}]}},
    "DELETE /v1/batch/": {"json": {"memories": [{"memory_id": "{memory_id}"}]}},
    "PUT /v1/memories/{memory_id}/": {"json": {"text": "mine"}},
    "POST /v1/feedback/": {"json": {"memory_id": "{memory_id}", "feedback": "NEGATIVE"}},
    "POST /v1/exports/": {"json": {"schema": {"type": "object"}, "filters": {"user_id": "{name}"}}},
    "POST /v1/exports/get/": {"json": {"memory_export_id": "{export_id}"}},
}
READS_BY_POST = {"/search", "/v3/memories/", "/v3/memories/search/", "/v1/exports/get/"}
# What changes by itself while requests are answered: attempts of deliveries, and what is counted of requests.
IDENTITIES = {
    "deliveries": "project, sink, memory_id, version",
    "inferences": "project, id",
    "erasures": "project, id",
    "shaping_jobs": "project, id",
}
UNCOMPARED = {"rate_buckets"}
# `next` is a position in the log of changes: it moves with the transactions of the whole database, anybody's.
VOLATILE = re.compile(r'"(lag_seconds|retry_after|last_error|next)":[^,}]*')

# Ids and times that an answer has just made up.
FRESH = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d{4}-\d\d-\d\dT[0-9:.]+")


@dataclass(frozen=True)
class Route:
    """One operation that OpenAPI describes."""

    method: str
    path: str

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def writes(self) -> bool:
        return self.method != "GET" and self.path not in READS_BY_POST

    def names_something(self) -> bool:
        """Whether it can be told which thing is asked for."""
        return bool(re.search(r"{(?!own})\w+}", self.path + json.dumps(REQUESTS.get(self.name, {}))))

    async def ask(self, client: httpx.AsyncClient, things: dict[str, str], **headers: str) -> httpx.Response:
        path = re.sub(r"{(\w+)}", lambda m: _thing(m[1], things, self), self.path)
        filled = re.sub(r"{(\w+)}", lambda m: things[m[1]], json.dumps(REQUESTS.get(self.name, {})))
        answer = await client.request(self.method, path, headers=headers, **json.loads(filled))
        assert answer.status_code < 500 or answer.status_code == 501, (self.name, answer.text)
        return answer


def _thing(parameter: str, things: dict[str, str], route: Route) -> str:
    name = SAME_AS.get(parameter, parameter)
    assert name in things or name in FIXED, f"{route.name}: write a recipe for {{{parameter}}} in this file"
    return things.get(name) or FIXED[name]


@dataclass
class World:
    """A replica on which a victim has something of everything."""

    api: Replica
    dsn: Dsn
    routes: list[Route]
    real: dict[str, str]

    async def key(self, **grant: Any) -> httpx.AsyncClient:
        """A client with a new key."""
        answer = await self.api.client.post("/keys", json={"name": "k", **grant})
        assert answer.status_code == 201, answer.text
        return self.api.as_key(answer.json()["key"])

    async def enrich(self) -> str:
        """Give the victim one more of what can be counted; the memory's id."""
        scope = {"user_id": f"{MARK}-user", "agent_id": f"{MARK}-a", "app_id": f"{MARK}-p", "run_id": f"{MARK}-r"}
        headers = {"X-Memsys-Project": VICTIM}
        for infer in (True, False):
            body = {"text": f"{MARK.title()} met Alice", "metadata": {MARK: MARK}, "infer": infer, **scope}
            answer = await self.api.client.post("/memories", json=body, headers=headers)
            assert answer.status_code == 200, answer.text
        return str(answer.json()["results"][0]["id"])

    def rows(self) -> dict[str, Counter[str]]:
        """All that is in the database, row by row."""
        found = {}
        with psycopg.connect(self.dsn.superuser) as conn:
            tables = conn.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
            for (table,) in tables:
                columns = sql.SQL(IDENTITIES.get(table, "*"))
                query = sql.SQL("SELECT t::text FROM (SELECT {} FROM {}) t").format(columns, sql.Identifier(table))
                found[table] = Counter(row[0] for row in conn.execute(query).fetchall())
        return {table: rows for table, rows in found.items() if table not in UNCOMPARED}


@pytest.fixture
async def world(fleet: Fleet, dsn: Dsn) -> AsyncIterator[World]:
    sink = MemorySink()
    sink.poison = lambda record: "cannot be applied"
    async with fleet.replica(
        sink=sink,
        MEMSYS_REFUSALS_PER_MINUTE=1_000_000,
        WEBHOOK_ALLOWED_NETWORKS="127.0.0.0/8",
        LLM_PROVIDER="openai",
        LLM_MODEL="away",
        LLM_API_KEY="k",
        LLM_BASE_URL="http://127.0.0.1:1/v1",
    ) as api:
        paths = (await api.client.get("/openapi.json")).json()["paths"]
        routes = [Route(m.upper(), p) for p, ms in paths.items() for m in ms if p not in OPEN_PATHS]
        made = World(api, dsn, routes, {})
        grant = {"name": MARK, "projects": [VICTIM], "user_id": f"{MARK}-user"}
        key = (await api.client.post("/keys", json=grant)).json()
        hook = {"url": f"http://127.0.0.1:1/{MARK}", "user_id": f"{MARK}-user", "active": False}
        add = {"text": MARK, "user_id": f"{MARK}-user", "infer": False, "wait": False}
        event = (await api.client.post("/memories", json=add, headers={"X-Memsys-Project": VICTIM})).json()
        webhook = (await api.client.post("/webhooks", json=hook, headers={"X-Memsys-Project": VICTIM})).json()
        gone = {"user_id": f"{MARK}-gone"}
        erasure = await api.client.post("/erasures", json=gone, headers={"X-Memsys-Project": VICTIM})
        await api.client.put("/policy", json={"quarantine": "hold"}, headers={"X-Memsys-Project": VICTIM})
        secret = {"text": f"{MARK}: the password is hunter2-{MARK}-77", "user_id": f"{MARK}-user"}
        held = await api.client.post("/memories", json=secret, headers={"X-Memsys-Project": VICTIM})
        await api.client.put("/policy", json={"quarantine": "off"}, headers={"X-Memsys-Project": VICTIM})
        memory_id = await made.enrich()
        said = {"memory_id": memory_id, "feedback": "NEGATIVE", "feedback_reason": f"not {MARK}"}
        await api.client.post("/v1/feedback/", json=said, headers={"X-Memsys-Project": VICTIM})
        shape = {"schema": {"description": MARK}, "filters": {"user_id": f"{MARK}-user"}}
        export = await api.client.post("/v1/exports/", json=shape, headers={"X-Memsys-Project": VICTIM})
        # Nor is it tried again meanwhile, which /info would show.
        await by_hand(dsn.superuser, "UPDATE shaping_jobs SET lease = NULL, due_at = now() + interval '1 day'")
        made.real = {
            "memory_id": memory_id,
            "export_id": export.json()["id"],
            "key_id": key["id"],
            "webhook_id": webhook["id"],
            "erasure_id": erasure.json()["id"],
            "event_id": event["id"],
            "review_id": held.json()["results"][0]["review_id"],
            "name": f"{MARK}-user",
            "entity_key": "alice",
        }
        yield made


def _alike(answer: httpx.Response, things: dict[str, str]) -> tuple[int, str, list[str]]:
    """An answer without what was asked for, and without what differs from time to time."""
    text = answer.text
    for name in ABSENT:
        text = text.replace(things[name], f"<{name}>")
    return answer.status_code, FRESH.sub("", VOLATILE.sub("", text)), sorted(answer.headers)


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer msk_aaaaaaaaaaaa_" + "b" * 32}, {"X-API-Key": "ä"}])
async def test_without_a_valid_key_every_route_is_shut(world: World, headers: dict[str, str]) -> None:
    before = world.rows()
    sent = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    async with httpx.AsyncClient(
        transport=world.api.client._transport, base_url="http://memsys", headers=sent
    ) as nobody:
        for route in world.routes:
            answers = [await route.ask(nobody, things | {"own": VICTIM}) for things in (world.real, ABSENT)]
            for answer in answers:
                assert answer.status_code == 401, route.name
                assert answer.json()["type"].endswith("/unauthenticated")
                assert "www-authenticate" in answer.headers
            assert _alike(answers[0], world.real) == _alike(answers[1], ABSENT), route.name
    assert world.rows() == before


STRANGERS = {
    "another project's key": {"projects": ["other"]},
    "a key of another user": {"projects": [VICTIM], "user_id": "v"},
    "a key of another agent": {"projects": [VICTIM], "agent_id": "v"},
    "a key of another application": {"projects": [VICTIM], "app_id": "v"},
    "a key of another conversation": {"projects": [VICTIM], "run_id": "v"},
}


@pytest.mark.parametrize("grant", STRANGERS.values(), ids=list(STRANGERS))
async def test_what_is_another_s_and_what_never_was_are_answered_alike(world: World, grant: dict[str, Any]) -> None:
    own = {"own": grant["projects"][0]}
    async with await world.key(rights=["read", "write", "admin"], **grant) as stranger:
        before = world.rows()
        for route in world.routes:
            answers = [await route.ask(stranger, things | own) for things in (world.real, ABSENT)]
            for answer, things in zip(answers, (world.real, ABSENT), strict=True):
                assert answer.status_code != 400, f"{route.name}: write a recipe in this file: {answer.text}"
                assert MARK not in answer.text.replace(things["name"], "").lower(), (route.name, answer.text)
            if route.names_something():
                assert _alike(answers[0], world.real) == _alike(answers[1], ABSENT), route.name
        after = world.rows()
        for table, rows in before.items():
            assert not rows - after[table], f"{table}: changed or removed"


async def test_another_project_cannot_be_told_from_one_that_never_was(world: World) -> None:
    async with await world.key(projects=["other"], rights=["read", "write", "admin"]) as stranger:
        before = world.rows()
        for route in world.routes:
            answers = [
                await route.ask(stranger, things | {"own": "other"}, **{"X-Memsys-Project": project})
                for project, things in ((VICTIM, world.real), ("never-was", ABSENT))
            ]
            assert {a.status_code for a in answers} == {403}, route.name
            assert _alike(answers[0], world.real) == _alike(answers[1], ABSENT), route.name
        assert world.rows() == before


async def test_a_key_that_may_only_read_changes_nothing(world: World) -> None:
    async with await world.key(projects=[VICTIM], rights=["read"]) as reader:
        before = world.rows()
        for route in world.routes:
            answer = await route.ask(reader, world.real | {"own": VICTIM})
            if route.writes:
                assert answer.status_code in (403, 501), route.name
        after = world.rows()
        audited = after.pop("audit") - before.pop("audit")  # what it has read as a whole is written down
        assert [row.split(",")[4] for row in audited] == ["project.exported"]
        assert after == before


@pytest.mark.parametrize("grant", STRANGERS.values(), ids=list(STRANGERS))
async def test_no_answer_changes_with_what_another_has(world: World, grant: dict[str, Any]) -> None:
    async with await world.key(rights=["read", "admin"], **grant) as stranger:

        async def looks() -> dict[str, Any]:
            things = ABSENT | {"own": grant["projects"][0]}
            return {
                route.name: _alike(await route.ask(stranger, things), things)
                for route in world.routes
                if not route.writes
            }

        before = await looks()
        await world.enrich()
        assert await looks() == before


@pytest.mark.parametrize("name", [
    "GET /memories/{memory_id}", "PUT /memories/{memory_id}", "DELETE /memories/{memory_id}",
    "GET /memories/{memory_id}/history", "POST /keys/{key_id}/rotate", "DELETE /keys/{key_id}",
])  # fmt: skip
async def test_the_time_taken_does_not_tell_them_apart_either(world: World, name: str) -> None:
    """Medians of interleaved samples lie within a quarter of each other, or within half a millisecond."""
    route = next(route for route in world.routes if route.name == name)
    taken: dict[str, list[float]] = {"real": [], "absent": []}
    async with await world.key(projects=["other"], rights=["read", "write", "admin"]) as stranger:
        for turn in range(240):
            kind, things = (("real", world.real), ("absent", ABSENT))[turn % 2]
            begun = time.perf_counter()
            await route.ask(stranger, things)
            taken[kind].append(time.perf_counter() - begun)
    real, absent = (statistics.median(samples[20:]) for samples in taken.values())
    assert abs(real - absent) <= max(0.25 * max(real, absent), 0.0005)
