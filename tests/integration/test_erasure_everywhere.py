"""What came in by any way there is, is found by no way once it is erased: not asked for, not dumped, not told later."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from memsys_api.embedding.cache import CachedEmbedder
from memsys_api.quarantine.gate import Gate
from tests.support.scripted_llm import Reply, ScriptedLLM

from .conftest import Dsn, Fleet, MakeKey, Replica
from .support.dump import dumped, files_with, holding
from .support.erasing import done, erase
from .support.parts import MemorySink, WordEmbedder
from .support.receiver import Answer, Receiver, receiving
from .support.waiting import until
from .test_inference_flow import facts, llm_settings

MARK = "zebrafinch7193"
NAME = MARK.title()
USER = "ann"
SECRET = f"the password is {MARK}A9"
MINE: dict[str, Any] = {"user_id": USER}
READS = (
    "/memories", "/export", "/changes?include=memory", "/entities", "/quarantine", "/quarantine?state=rejected",
    "/audit", "/erasures", "/erasures/ledger", "/webhooks", "/policy", "/keys", "/sinks", "/graph/status",
    "/inferences/status", "/metrics", "/info", "/v1/entities/",
)  # fmt: skip


@pytest.fixture
def llm() -> Iterator[ScriptedLLM]:
    with ScriptedLLM() as server:
        yield server


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as running:
        yield running


async def _ok(answer: httpx.Response) -> Any:
    assert answer.is_success, answer.text
    return answer.json()


async def _webhooks(api: Replica, receiver: Receiver) -> list[dict[str, Any]]:
    """One whose deliveries park, and one whose deliveries wait."""
    receiver.answer = lambda call: Answer(503, hang=call.path == "/waits")
    hooks = []
    for path in ("/parked", "/waits"):
        body = {"url": receiver.url(path), "include": ["memory"]}
        hooks.append(await _ok(await api.client.post("/webhooks", json=body)))
    return hooks


async def _by_hand(api: Replica) -> None:
    """Adds, changes, deletions; merges of the user's names with others', in both directions."""
    (one,) = await api.add(f"my {MARK} is verbatim", metadata={"note": MARK, MARK: 1}, infer=False, **MINE)
    await api.add([{"role": "user", "content": f"Meet Zoe, says {NAME}", "name": NAME}], infer=False, **MINE)
    body = {"text": f"{MARK} once", "infer": False, **MINE}
    await _ok(await api.client.post("/memories", json=body, headers={"Idempotency-Key": f"key-{MARK}"}))
    await _ok(await api.client.put(f"/memories/{one['id']}", json={"text": f"my {MARK} is updated"}))
    (gone,) = await api.add(f"{MARK} is deleted", infer=False, **MINE)
    await _ok(await api.client.delete(f"/memories/{gone['id']}"))
    await api.add(f"{NAME} Senior met {NAME}", infer=False, **MINE)
    names = (await _ok(await api.client.get("/entities", params={"limit": 100})))["results"]
    mine = sorted(entity["key"] for entity in names if MARK in entity["key"])
    assert len(mine) >= 2
    for source, target in ((mine[0], "rome"), ("bob", mine[1])):
        await _ok(await api.client.post("/entities/merge", json={"from": source, "into": target, "reason": MARK}))


async def _by_inference(api: Replica, llm: ScriptedLLM) -> None:
    """Inferred, submitted and found, submitted and waiting, put off."""
    named = {
        "entities": [{"name": NAME, "kind": "pet"}, {"name": "Rome", "kind": "place"}],
        "relations": [{"subject": NAME, "predicate": "lives_in", "object": "Rome"}],
    }
    llm.answer = lambda _: Reply(facts({"text": f"User has a {MARK}", **named}))
    await api.add([{"role": "user", "content": f"I have a {MARK}"}], **MINE)
    followed = await _ok(await api.client.post("/memories", json={"text": f"A {MARK} it is", "wait": False, **MINE}))

    async def found() -> bool:
        event = await _ok(await api.client.get(f"/events/{followed['id']}"))
        return bool(event["status"] == "SUCCEEDED")

    await until("the submitted add is inferred", found)
    await _judged_and_shaped(api, llm)
    llm.answer = lambda _: Reply(status=503)
    body = {"text": f"{MARK} waits", "prompt": f"mind the {MARK}", **MINE}
    await _ok(await api.client.post("/memories", json=body))
    await _ok(await api.client.post("/memories", json=body | {"text": f"{MARK} waits too", "wait": False}))


async def _judged_and_shaped(api: Replica, llm: ScriptedLLM) -> None:
    """Feedback on one of the user's memories, and an export in a shape of somebody's own."""
    (one, *_) = (await _ok(await api.client.get("/memories", params=MINE)))["results"]
    verdict = {"memory_id": one["id"], "feedback": "POSITIVE", "feedback_reason": f"a fine {MARK}"}
    await _ok(await api.client.post("/v1/feedback/", json=verdict))
    llm.answer = lambda _: Reply(json.dumps({"pet": MARK}))
    schema = {"type": "object", "properties": {"pet": {"type": "string"}}}
    body = {"schema": schema, "filters": MINE, "export_instructions": f"Name the {MARK}."}
    export = await _ok(await api.client.post("/v1/exports/", json=body))

    async def made() -> bool:
        answer = await api.client.post("/v1/exports/get/", json={"memory_export_id": export["id"]})
        return answer.is_success and MARK in answer.text

    await until("the export is made", made)


async def _in_bulk(api: Replica) -> None:
    """An import with a history, and batches; under *hold* with suspect ones among them."""
    await _ok(await api.client.put("/policy", json={"quarantine": "hold"}))
    requests = [{"text": f"{MARK} in a batch", "infer": False, **MINE}, {"text": SECRET, **MINE}]
    await _ok(await api.client.post("/memories/batch", json={"requests": requests}))
    await _ok(await api.client.post("/memories", json={"text": SECRET, **MINE}))
    await _ok(await api.client.post("/memories", json={"text": SECRET, "wait": False, **MINE}))
    listed = (await _ok(await api.client.get("/memories", params=MINE)))["results"]
    await _ok(await api.client.put(f"/memories/{listed[-1]['id']}", json={"text": SECRET}))
    one = str(uuid4())
    lines = [
        {"format": "memsys-export", "version": 1},
        {"id": one, "memory": f"{MARK} was", "recorded_from": "2025-01-01T00:00:00Z", **MINE},
        {"id": one, "version": 2, "memory": f"{MARK} is", "recorded_from": "2025-02-01T00:00:00Z", **MINE},
        {"id": str(uuid4()), "memory": "short", "speaker": NAME, "metadata": {"deep": [{MARK: [MARK]}]}, **MINE},
        {"id": str(uuid4()), "memory": SECRET, **MINE},
        {"end": True, "versions": 4},
    ]
    report = await _ok(await api.client.post("/import", content="\n".join(map(json.dumps, lines))))
    assert (report["imported"], report["held"]) == (3, 1)
    waiting = (await _ok(await api.client.get("/quarantine")))["results"]
    assert {one["kind"] for one in waiting} == {"add", "update", "import"}
    await _ok(await api.client.post(f"/quarantine/{waiting[-1]['id']}/reject"))
    await _ok(await api.client.post(f"/quarantine/{waiting[-2]['id']}/release"))
    await _ok(await api.client.put("/policy", json={"quarantine": "off"}))


async def test_whatever_way_it_came_in(fleet: Fleet, llm: ScriptedLLM, dsn: Dsn, receiver: Receiver) -> None:
    sink, cached = MemorySink(), CachedEmbedder(WordEmbedder())
    settings = llm_settings(
        llm,
        LLM_RETRY_BASE_SECONDS=0.01,
        WEBHOOK_ALLOWED_NETWORKS="127.0.0.0/8",
        WEBHOOK_RETRY_BASE_SECONDS=0.01,
        WEBHOOK_TIMEOUT_SECONDS=5,
    )
    async with fleet.replica(sink=sink, embedder=cached, **settings) as api:  # type: ignore[arg-type]
        (bobs,) = await api.add("Bob visited Rome", user_id="bob", infer=False)
        parked, waits = await _webhooks(api, receiver)
        await _by_hand(api)
        await _by_inference(api, llm)
        await _in_bulk(api)
        await api.search(f"where is {NAME}?", **MINE)

        async def some(hook: dict[str, Any], state: str) -> bool:
            query = {"state": state}
            return bool(
                (await _ok(await api.client.get(f"/webhooks/{hook['id']}/deliveries", params=query)))["results"]
            )

        await until("deliveries are parked", lambda: some(parked, "parked"))
        await until("deliveries wait", lambda: some(waits, "pending"))
        await until("the graph has it", lambda: MARK in str(sink.held).lower())
        assert holding(dsn.superuser, MARK).keys() >= {
            "memory_versions", "entities", "mentions", "relations", "merges", "idempotency",
            "inference_requests", "held", "feedback", "shaped_exports",
        }  # fmt: skip
        assert MARK in dumped(dsn.server, dsn.name).lower()
        assert cached.size > 0

        erased = await erase(api, **MINE)

        receiver.calls.clear()
        receiver.answer = lambda _: Answer()
        assert holding(dsn.superuser, MARK) == {}
        assert MARK not in dumped(dsn.server, dsn.name).lower()
        assert await asyncio.to_thread(files_with, dsn.superuser, dsn.server.data, MARK) == []
        assert MARK not in str(sink.held).lower()
        await until("the replica has dropped what it had cached", lambda: cached.size == 0)
        for path in (*READS, *(f"/webhooks/{hook['id']}/deliveries" for hook in (parked, waits))):
            answer = await api.client.get(path)
            assert answer.is_success, (path, answer.text)
            assert MARK not in answer.text.lower(), path
        assert MARK not in json.dumps(erased).lower()
        # What was merged into a name of the user's is itself again, in the graph too.
        assert [m["id"] for m in await api.search("Bob Rome")] == [bobs["id"]]
        record = next(held for held in sink.held.values() if str(held.id) == bobs["id"])
        assert {entity.key for entity in record.extraction.entities} == {"bob", "rome"}
        for hook in (parked, waits):
            await _ok(await api.client.post(f"/webhooks/{hook['id']}/replay", json={"since": "2026-01-01T00:00:00Z"}))
        await until("what waited is told", lambda: len(receiver.at("/waits")) > 5 and len(receiver.at("/parked")) > 5)
        assert not any(MARK.encode() in call.body.lower() for call in receiver.calls)
        removed = erased["receipt"]["removed"]["postgres"]
        assert {table for table, count in removed.items() if count} >= {
            "memory_versions", "embeddings_1", "entities", "mentions", "relations", "merges", "idempotency",
            "inference_requests", "held", "add_events",
        }  # fmt: skip
        assert removed["merges"] == 2


async def test_a_receipt_counts_the_entities_that_its_own_erasure_took(api: Replica, dsn: Dsn) -> None:
    await api.add("Anna met Yolanda in Rome", user_id=USER)
    await api.add("Bob met Xavier in Rome", user_id="bob")
    with psycopg.connect(dsn.superuser) as conn:  # left behind by no memory, and by no erasure of these
        conn.execute("INSERT INTO entities (project, key, name, kind) VALUES ('default', 'stray', 'Stray', 'x')")
        before = conn.execute("SELECT count(*) FROM entities").fetchone()
    first = (await erase(api, **MINE))["receipt"]["removed"]["postgres"]["entities"]
    second = (await erase(api, user_id="bob"))["receipt"]["removed"]["postgres"]["entities"]
    with psycopg.connect(dsn.superuser) as conn:
        left = conn.execute("SELECT key FROM entities").fetchall()
    assert left == [("stray",)]
    assert before == (first + second + 1,)
    assert min(first, second) >= 1


async def _late(api: Replica, accepted: datetime, **fields: Any) -> httpx.Response:
    body = {"text": f"{MARK} from a queue", "infer": False} | fields
    return await api.client.post("/memories", json=body, headers={"X-Memsys-Accepted": accepted.isoformat()})


@pytest.mark.parametrize("wait", [True, False])
async def test_what_was_accepted_before_an_erasure_is_not_stored_after_it(
    api: Replica, dsn: Dsn, wait: bool, keyed: MakeKey
) -> None:
    accepted = datetime.now(UTC) - timedelta(minutes=10)
    await erase(api, **MINE)
    for fields in (MINE, {**MINE, "agent_id": "a"}):
        answer = await _late(api, accepted, wait=wait, **fields)
        assert (answer.status_code, answer.json()["type"].rsplit("/", 1)[1]) == (409, "erased")
        assert MARK not in answer.text
    async with keyed(user_id=USER) as client:  # whose key it is counts, also where the request does not say
        body, headers = {"text": MARK, "wait": wait}, {"X-Memsys-Accepted": accepted.isoformat()}
        assert (await client.post("/memories", json=body, headers=headers)).status_code == 409
    await api.client.put("/policy", json={"quarantine": "hold"})
    assert (await _late(api, accepted, wait=wait, text=SECRET, **MINE)).status_code == 409
    assert holding(dsn.superuser, MARK) == {}
    assert (await _late(api, accepted, wait=wait, user_id="bob")).is_success
    assert (await _late(api, datetime.now(UTC) + timedelta(minutes=5), wait=wait, **MINE)).is_success


async def test_a_late_add_and_an_erasure_at_once_leave_nothing_or_what_is_new(api: Replica, dsn: Dsn) -> None:
    for _ in range(20):
        accepted = datetime.now(UTC) - timedelta(minutes=10)
        asked = asyncio.create_task(api.client.post("/erasures", json=MINE))
        late = await asyncio.gather(*(_late(api, accepted, **MINE) for _ in range(4)))
        assert {answer.status_code for answer in late} <= {200, 409}
        await done(api, (await asked).json()["id"])
        assert holding(dsn.superuser, MARK) == {}


async def test_what_was_accepted_before_an_erasure_is_not_held_after_it(
    api: Replica, dsn: Dsn, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.client.put("/policy", json={"quarantine": "hold"})
    stop = Gate.stop

    async def stop_later(*arguments: Any, **options: Any) -> None:
        await erase(api, **MINE)
        await stop(*arguments, **options)

    monkeypatch.setattr(Gate, "stop", stop_later)
    answer = await _late(api, datetime.now(UTC) - timedelta(minutes=10), text=SECRET, **MINE)
    assert (answer.status_code, answer.json()["type"].rsplit("/", 1)[1]) == (409, "erased")
    assert holding(dsn.superuser, SECRET) == {}


@pytest.mark.parametrize("volume", [None, "PersistentVolumeClaim n/data-m-neo4j-0"])
async def test_the_receipt_names_the_volume_of_a_graph_that_was_switched_off(fleet: Fleet, volume: str | None) -> None:
    async with fleet.replica(**({"MEMSYS_KEPT_GRAPH_VOLUME": volume} if volume else {})) as api:
        erased = await erase(api, **MINE)
    left = [one for one in erased["receipt"]["remains"] if "switched off" in one["where"]]
    if volume is None:
        assert left == []
    else:
        (one,) = left
        assert volume in one["where"]
        assert (one["event"], one["until"]) == ("its deletion", None)


@pytest.mark.parametrize(("hours", "known"), [(None, False), (48, True), (0, False)])
async def test_the_receipt_names_the_queues_of_mcp_servers(fleet: Fleet, hours: int | None, known: bool) -> None:
    settings = {} if hours is None else {"MEMSYS_MCP_QUEUE_HOURS": hours}
    async with fleet.replica(**settings) as api:
        erased = await erase(api, **MINE)
    queues = [one for one in erased["receipt"]["remains"] if "write queues" in one["where"]]
    assert len(queues) == (0 if hours == 0 else 1)
    for one in queues:
        until_then = one["until"] and datetime.fromisoformat(one["until"])
        requested = datetime.fromisoformat(erased["recorded_before"])
        assert until_then == (requested + timedelta(hours=48, minutes=5) if known else None)


@pytest.mark.parametrize("by", ["user_id", "memory_ids", "everything"])
async def test_what_is_here_is_erased_though_it_is_dated_in_the_future(api: Replica, dsn: Dsn, by: str) -> None:
    (mine,), (other,) = await api.add(f"the {MARK}", **MINE), await api.add("another's", user_id="bob")
    with psycopg.connect(dsn.superuser) as conn:  # as a clock that was set back, or an earlier release, has left it
        conn.execute("UPDATE memory_versions SET recorded_from = now() + interval '9 hours'")
    receipt = (await erase(api, **{by: {"user_id": USER, "memory_ids": [mine["id"]], "everything": True}[by]}))[
        "receipt"
    ]
    assert receipt["removed"]["postgres"]["memory_versions"] == (4 if by == "everything" else 2)  # tombstones too
    assert holding(dsn.superuser, MARK) == {}
    (after,) = await api.add("a new one", **MINE)
    left = {memory["id"] for memory in (await api.client.get("/memories")).json()["results"]}
    assert left == {after["id"]} | (set() if by == "everything" else {other["id"]})
