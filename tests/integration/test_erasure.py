"""What is erased is nowhere: not by any question, not in a dump of any store, not after a restore."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from memsys_api.embedding.cache import CachedEmbedder
from memsys_api.store import erasure
from tests.support.scripted_llm import Reply, ScriptedLLM

from .conftest import Dsn, Fleet, Replica
from .support.dump import files_with, holding, tables
from .support.erasing import done, erase
from .support.parts import MemorySink, WordEmbedder
from .support.waiting import until
from .test_inference_flow import facts, llm_settings

MARK = "zebrafinch7193"
USER = "ann"


@pytest.fixture
def llm() -> Iterator[ScriptedLLM]:
    with ScriptedLLM() as server:
        yield server


async def plant(api: Replica, llm: ScriptedLLM) -> None:
    """Bring the mark in by every way there is, as words of the user."""
    verbatim: dict[str, Any] = {"user_id": USER, "infer": False}
    added = await api.add(f"my {MARK} is verbatim", metadata={"note": MARK, MARK: 1}, **verbatim)
    await api.add([{"role": "user", "content": f"Meet Zoe, says {MARK}", "name": MARK.title()}], **verbatim)
    keyed = await api.client.post(
        "/memories", json={"text": f"{MARK} once", **verbatim}, headers={"Idempotency-Key": f"key-{MARK}"}
    )
    assert keyed.status_code == 200
    changed = await api.client.put(f"/memories/{added[0]['id']}", json={"text": f"my {MARK} is updated"})
    assert changed.status_code == 200
    gone = await api.add(f"{MARK} is deleted", **verbatim)
    await api.client.delete(f"/memories/{gone[0]['id']}")
    llm.say(
        facts(
            {
                "text": f"User has a {MARK}",
                "entities": [{"name": MARK.title(), "kind": "pet"}, {"name": "Rome", "kind": "place"}],
                "relations": [{"subject": MARK.title(), "predicate": "lives_in", "object": "Rome"}],
            }
        )
    )
    assert (await api.add([{"role": "user", "content": f"I have a {MARK}"}], user_id=USER))[0]["event"] == "ADD"
    llm.answer = lambda _: Reply(status=503)
    pending = await api.add([{"role": "user", "content": f"{MARK} waits"}], user_id=USER, prompt=f"mind the {MARK}")
    assert pending[0]["inference"] == "pending"


async def test_a_user_is_forgotten_in_every_store(fleet: Fleet, llm: ScriptedLLM, dsn: Dsn) -> None:
    sink = MemorySink()
    async with fleet.replica(sink=sink, **llm_settings(llm, LLM_RETRY_BASE_SECONDS=0.01)) as api:
        await plant(api, llm)
        (kept,) = await api.add("Bob visited Rome", user_id="bob", infer=False)
        planted = holding(dsn.superuser, MARK)
        assert planted.keys() >= {"memory_versions", "entities", "mentions", "relations", "idempotency"}
        assert "inference_requests" in planted
        await until("the graph has it", lambda: MARK in str(sink.held).lower())

        found = await erase(api, user_id=USER)

        assert holding(dsn.superuser, MARK) == {}
        # In a thread: VACUUM FULL waits for transactions of the API, which run in this loop.
        assert await asyncio.to_thread(files_with, dsn.superuser, dsn.server.data, MARK) == []
        assert MARK not in str(sink.held).lower()
        assert {str(memory_id) for memory_id in sink.live()} == {kept["id"]}
        assert [memory["id"] for memory in await api.search(f"{MARK} Rome")] == [kept["id"]]
        history = await api.client.get("/memories", params={"user_id": USER})
        assert history.json()["results"] == []
        for path in ("/audit", "/erasures", "/erasures/ledger", "/metrics", "/info", "/v1/entities/"):
            assert MARK not in (await api.client.get(path)).text.lower(), path
        again = await api.client.post(
            "/memories",
            json={"text": f"{MARK} once", "user_id": USER, "infer": False},
            headers={"Idempotency-Key": f"key-{MARK}"},
        )
        assert (again.status_code, MARK in again.text) == (409, False)
        receipt = found["receipt"]
        assert receipt["removed"]["postgres"]["memory_versions"] == 13
        assert receipt["removed"]["postgres"]["inference_requests"] == 1
        assert receipt["removed"]["sinks"] == {"graph": 6}
        assert set(receipt["verified"]["postgres"].values()) == {0}
        assert receipt["verified"]["graph"] == {"memories": 0}
        assert MARK not in json.dumps(found).lower()
    with psycopg.connect(dsn.superuser) as conn:  # what others still speak of stays
        assert conn.execute("SELECT key FROM entities ORDER BY key").fetchall() == [("bob",), ("rome",)]
        assert conn.execute("SELECT count(*) FROM embeddings_1").fetchone() == (1,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege), psycopg.connect(dsn.app) as serving:
            serving.execute("DELETE FROM audit")


def test_every_table_is_in_the_catalogue_and_every_text_in_it_is_treated(dsn: Dsn) -> None:
    words = "('text', 'character varying', 'jsonb', 'json', 'bytea', 'tsvector', 'ARRAY', 'USER-DEFINED')"
    with psycopg.connect(dsn.superuser) as conn:
        columns: dict[str, set[str]] = {}
        for table, column in conn.execute(
            f"SELECT table_name, column_name FROM information_schema.columns "
            f"WHERE table_schema = 'public' AND data_type IN {words}"
        ):
            name = "embeddings" if table.startswith("embeddings_") else table
            columns.setdefault(name, set()).add(column)
    assert columns.keys() == erasure.CATALOGUE.keys()
    # The words of tables that an erasure leaves alone, looked at one by one: ids, codes, times and the product's own.
    left_alone = {
        name: sorted(columns[name]) for name, table in erasure.CATALOGUE.items() if table.treatment in ("ids", "system")
    }
    assert left_alone == {
        "outbox": ["agent_id", "app_id", "event", "project", "run_id", "user_id"],
        "outbox_horizons": ["project"],
        "rebuilds": ["error", "project", "sink", "state"],
        "webhook_deliveries": ["cause", "error", "event", "project", "state"],
        "webhook_returns": ["cause", "project"],
        "webhooks": [
            "agent_id", "app_id", "description", "events", "include", "project", "run_id", "secret", "url", "user_id",
        ],
        "deliveries": ["cause", "error", "project", "sink", "state"],
        "fills": ["at_project", "sink", "target"],
        "shaping_jobs": ["error", "project"],
        "audit": ["action", "actor", "detail", "project", "request_id", "target"],
        "erasures": ["project", "receipt", "removed", "renamed", "requested_by", "scope", "state", "step", "waits_for"],
        "erased": ["entities", "project"],  # digests
        "policies": ["policy", "project", "updated_by"],
        "keys": [
            "agent_id", "app_id", "default_project", "id", "name", "projects", "rights", "run_id", "secrets",
            "subject", "user_id",
        ],
        "llm_usage": ["project"],
        "rate_buckets": ["bucket"],
        "projects": ["name"],
        "generations": ["model", "precision", "provider", "state"],
        "schema_migrations": ["checksum", "name"],
    }  # fmt: skip


async def test_it_waits_for_a_sink_and_says_so(fleet: Fleet) -> None:
    sink = MemorySink()
    async with fleet.replica(sink=sink) as api:
        await api.add("of ann", user_id=USER)
        await until("the graph has it", lambda: len(sink.live()) == 1)
        sink.away = True
        answer = await api.client.post("/erasures", json={"user_id": USER})
        assert answer.status_code == 202
        running = answer.json()
        assert (running["state"], running["step"]) == ("running", "sinks")
        assert running["waits_for"].startswith("graph: 1 deletions not applied")
        assert (await api.client.get("/memories", params={"user_id": USER})).json()["results"] == []
        sink.away = False
        assert (await done(api, running["id"]))["receipt"]["verified"]["graph"] == {"memories": 0}
        assert sink.live() == set()


@pytest.mark.parametrize("step", ["_note", "_remove", "_sinks", "_verify", "_vacuum"])
@pytest.mark.parametrize("after", [False, True])
async def test_a_crash_at_any_step_is_made_up_for(
    fleet: Fleet, dsn: Dsn, monkeypatch: pytest.MonkeyPatch, step: str, after: bool
) -> None:
    sink = MemorySink()
    async with fleet.replica(sink=sink) as api:
        await api.add([{"role": "user", "content": f"{MARK} {n}"} for n in range(3)], user_id=USER)
        eraser = api.service.eraser
        original: Callable[..., Awaitable[None]] = getattr(type(eraser), step)
        crashes = 0

        async def crashing(self: Any, *arguments: Any) -> None:
            nonlocal crashes
            if crashes:
                await original(self, *arguments)
                return
            if after:
                await original(self, *arguments)
            crashes += 1
            raise RuntimeError("crash")

        if step == "_remove":
            monkeypatch.setattr(type(eraser), step, crashing)
        else:
            eraser._steps[step[1:]] = lambda *arguments: crashing(eraser, *arguments)
        answer = await api.client.post("/erasures", json={"user_id": USER})
        found = await done(api, answer.json()["id"])
        assert crashes == 1
        assert found["receipt"]["removed"]["postgres"]["memory_versions"] == 6
        assert holding(dsn.superuser, MARK) == {}
        assert sink.live() == set()


async def test_what_comes_meanwhile_is_erased_or_new(fleet: Fleet, dsn: Dsn) -> None:
    async with fleet.replica(sink=MemorySink()) as api:
        await api.add([{"role": "user", "content": f"memory {n}"} for n in range(50)], user_id=USER)
        acknowledged: dict[str, str] = {}
        stop = asyncio.Event()

        async def write(writer: int) -> None:
            n = 0
            while not stop.is_set():
                (memory,) = await api.add(f"writer {writer} says {n}", user_id=USER)
                acknowledged[memory["id"]] = memory["memory"]
                changed = await api.client.put(f"/memories/{memory['id']}", json={"text": f"{writer} again {n}"})
                assert changed.status_code in (200, 404)
                n += 1

        writers = [asyncio.create_task(write(n)) for n in range(4)]
        await until("writers write", lambda: len(acknowledged) > 8)
        found = await erase(api, user_id=USER)
        before = len(acknowledged)
        await until("writers go on", lambda: len(acknowledged) > before + 8)
        stop.set()
        await asyncio.gather(*writers)
        with psycopg.connect(dsn.superuser) as conn:
            left = conn.execute(
                "SELECT id::text, recorded_from > %s FROM memory_versions WHERE version = 1",
                (found["recorded_before"],),
            ).fetchall()
            whole = conn.execute(
                """SELECT (SELECT count(*) FROM memory_versions WHERE version = 1) = count(DISTINCT memory_id)
                   FROM embeddings_1"""
            ).fetchone()
            dangling = conn.execute(
                "SELECT count(*) FROM mentions n LEFT JOIN entities e ON e.key = n.entity_key WHERE e.key IS NULL"
            ).fetchone()
        assert {memory_id for memory_id, _ in left} <= acknowledged.keys()
        assert all(later for _, later in left)
        assert len(left) >= 8
        assert whole == (True,)
        assert dangling == (0,)


async def test_other_scopes(api: Replica, dsn: Dsn) -> None:
    one, two, three = [(await api.add(f"memory {n}", user_id=USER, agent_id=f"a{n % 2}"))[0]["id"] for n in range(3)]
    await erase(api, memory_ids=[two])
    assert {m["id"] for m in (await api.client.get("/memories")).json()["results"]} == {one, three}
    await erase(api, user_id=USER, agent_id="a1")
    assert len(tables(dsn.superuser)["memory_versions"]) == 2
    await erase(api, everything=True)
    assert tables(dsn.superuser)["memory_versions"] == []


@pytest.mark.parametrize(
    ("scope", "field"),
    [
        ({}, "body"),
        ({"everything": True, "user_id": "u"}, "body"),
        ({"everything": False}, "everything"),
        ({"memory_ids": []}, "memory_ids"),
        ({"user": "u"}, "user"),
    ],
)
async def test_a_scope_is_never_guessed(api: Replica, scope: dict[str, Any], field: str) -> None:
    answer = await api.client.post("/erasures", json=scope)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, field)


async def test_a_key_erases_no_further_than_it_reaches(api: Replica, dsn: Dsn) -> None:
    for user in (USER, "bob"):
        await api.add(f"of {user}", user_id=user)
    answer = await api.client.post(
        "/keys", json={"name": "k", "projects": ["default"], "rights": ["admin"], "user_id": USER}
    )
    async with api.as_key(answer.json()["key"]) as client:
        assert (await client.post("/erasures", json={"user_id": "bob"})).status_code == 403
        assert (await client.post("/erasures", json={"everything": True})).status_code == 403
        ids = [m["id"] for m in (await api.client.get("/memories")).json()["results"]]
        mine = await client.post("/erasures", json={"memory_ids": ids})
        assert mine.json()["scope"] == {"memory_ids": ids, "user_id": USER}
        await done(api, mine.json()["id"])
        foreign = await erase(api, user_id="nobody")
        assert (await client.get(f"/erasures/{foreign['id']}")).status_code == 404
        for path in ("/erasures", "/erasures/ledger", "/audit"):
            assert (await client.get(path)).status_code == 403, path
    assert [m["user_id"] for m in (await api.client.get("/memories")).json()["results"]] == ["bob"]


async def test_every_replica_drops_what_it_has_cached(fleet: Fleet) -> None:
    first, second = CachedEmbedder(WordEmbedder()), CachedEmbedder(WordEmbedder())
    async with fleet.replica(embedder=first) as api, fleet.replica(embedder=second) as other:  # type: ignore[arg-type]
        await api.add(MARK, user_id=USER)
        await other.search(MARK)
        assert min(first.size, second.size) > 0
        await erase(api, user_id=USER)
        await until("both caches are empty", lambda: first.size == second.size == 0, 2)


def _restore(dsn: Dsn, rows: dict[str, list[tuple[Any, ...]]]) -> None:
    """Put tables back as they were, and forget the erasures: what an older backup brings."""
    with psycopg.connect(dsn.superuser, autocommit=True) as conn:
        conn.execute("SET session_replication_role = replica")
        conn.execute("DELETE FROM erasures")
        for table, content in rows.items():
            conn.execute(f"DELETE FROM {table}")
            with conn.cursor() as cursor, cursor.copy(f"COPY {table} FROM STDIN") as copy:
                for chunk in content:
                    copy.write(chunk)  # type: ignore[arg-type]


def _backup(dsn: Dsn) -> dict[str, Any]:
    saved: dict[str, Any] = {}
    with psycopg.connect(dsn.superuser) as conn, conn.cursor() as cursor:
        for table in ("memory_versions", "embeddings_1", "entities", "mentions"):
            with cursor.copy(f"COPY {table} TO STDOUT") as copy:
                saved[table] = [bytes(chunk) for chunk in copy]
    return saved


async def test_a_ledger_is_replayed_after_a_restore(fleet: Fleet, dsn: Dsn) -> None:
    sink = MemorySink()
    async with fleet.replica(sink=sink) as api:
        await api.add(f"{MARK} of ann", user_id=USER)
        saved = _backup(dsn)
        await erase(api, user_id=USER)
        (later,) = await api.add("ann is back", user_id=USER)
        kept_outside = (await api.client.get("/erasures/ledger")).text
        assert MARK not in kept_outside
        await erase(api, user_id="somebody else")
        with psycopg.connect(dsn.superuser) as conn:
            came_later = conn.execute("SELECT * FROM memory_versions").fetchall()
        assert len(came_later) == 1
        _restore(dsn, saved)
        assert len(await api.search(MARK)) == 1
        (again,) = await api.add("ann is back", user_id=USER)
        replayed = await _replay(api, kept_outside)
        assert replayed.json() == {"replayed": 1}
        await done(api, json.loads(kept_outside)["id"])
        assert holding(dsn.superuser, MARK) == {}
        assert [m["id"] for m in (await api.client.get("/memories")).json()["results"]] == [again["id"]]
        assert later["id"] != again["id"]
        twice = (await api.client.get("/erasures/ledger")).text
        assert json.loads(twice) == json.loads(kept_outside)


async def _replay(api: Replica, lines: str) -> httpx.Response:
    return await api.client.post(
        "/erasures/replay", content=lines.encode(), headers={"Content-Type": "application/x-ndjson"}
    )


async def test_the_ledger_of_a_server_that_forgot_nothing_can_be_replayed(api: Replica) -> None:
    replayed = await _replay(api, (await api.client.get("/erasures/ledger")).text)
    assert (replayed.status_code, replayed.json()) == (202, {"replayed": 0})


async def test_a_ledger_that_cannot_be_read_is_refused_whole(api: Replica) -> None:
    await erase(api, user_id=USER)
    good = (await api.client.get("/erasures/ledger")).text
    for bad in ("{", "[]", '{"project": "x"}', good.replace("user_id", "user")):
        answer = await _replay(api, good + bad)
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["field"].startswith("line 2")


def _cut_off(ledger: Path) -> str:
    """Leave half a line at the end, as a crash may; the file before."""
    before = ledger.read_text()
    ledger.write_text(before + '{"project": "cut of')
    return before


async def test_a_start_on_an_older_backup_forgets_again_before_it_answers(
    fleet: Fleet, dsn: Dsn, tmp_path: Path
) -> None:
    ledger = str(tmp_path / "ledger")
    async with fleet.replica(MEMSYS_ERASURE_LEDGER=ledger) as api:
        await api.add(f"{MARK} of ann", user_id=USER)
        saved = _backup(dsn)
        erased = await erase(api, user_id=USER)
    assert MARK not in _cut_off(Path(ledger))
    _restore(dsn, saved)
    async with fleet.replica(MEMSYS_ERASURE_LEDGER=ledger) as api:
        assert holding(dsn.superuser, MARK) == {}
        assert (await done(api, erased["id"]))["state"] == "done"


async def test_a_ledger_that_cannot_be_written_stops_it_before_anything_is_removed(
    fleet: Fleet, dsn: Dsn, tmp_path: Path
) -> None:
    folder = tmp_path / "not there yet"
    async with fleet.replica(MEMSYS_ERASURE_LEDGER=str(folder / "ledger")) as api:
        await api.add("of ann", user_id=USER)
        answer = await api.client.post("/erasures", json={"user_id": USER})
        assert (answer.status_code, answer.json()["step"]) == (202, "note")
        assert "No such file" in answer.json()["waits_for"]
        assert len(tables(dsn.superuser)["memory_versions"]) == 1
