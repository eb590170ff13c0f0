"""Adding, reading, changing and deleting memories over HTTP, on real PostgreSQL."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest

from memsys_api.flows import changing
from memsys_api.ports import EmbedderRejected, EmbedderUnavailable

from .conftest import Dsn, Fleet, Replica
from .support.waiting import until

TURNS = [
    {"role": "system", "content": "You are a helpful assistant."},
    {"role": "user", "content": "I moved to Lisbon in May.", "name": "Priya"},
    {"role": "assistant", "content": "Lisbon! How do you like it?"},
    {"role": "user", "content": "I moved to Lisbon in May.", "name": "Priya"},
]


async def test_every_message_but_the_system_s_is_stored_verbatim_and_in_order(api: Replica) -> None:
    results = await api.add(TURNS, user_id="priya", run_id="s1", metadata={"topic": "home"}, infer=False)
    assert [r["memory"] for r in results] == [t["content"] for t in TURNS[1:]]  # the repeated one too
    assert {r["event"] for r in results} == {"ADD"}
    assert len({r["id"] for r in results}) == 3
    first = (await api.client.get(f"/memories/{results[0]['id']}")).json()
    assert first["metadata"] == {"topic": "home", "role": "user", "actor_id": "Priya"}
    assert (first["user_id"], first["run_id"], first["agent_id"], first["project"]) == ("priya", "s1", None, "default")
    assert first["version"] == 1
    assert len(first["hash"]) == 64


@pytest.mark.parametrize(
    "body", [{"messages": "Tea at five"}, {"text": "Tea at five"}, {"text": "Tea at five", "infer": True}]
)
async def test_a_text_is_one_memory_whichever_way_it_is_given(api: Replica, body: dict[str, object]) -> None:
    answer = await api.client.post("/memories", json=body)
    assert [r["memory"] for r in answer.json()["results"]] == ["Tea at five"]


async def test_the_event_s_own_time_is_kept_beside_the_recorded_one(api: Replica) -> None:
    [result] = await api.add("The treaty was signed", timestamp="2019-06-01T12:00:00+02:00")
    memory = (await api.client.get(f"/memories/{result['id']}")).json()
    assert datetime.fromisoformat(memory["event_time"]) == datetime(2019, 6, 1, 10, tzinfo=UTC)
    assert datetime.now(UTC) - datetime.fromisoformat(memory["created_at"]) < timedelta(minutes=1)


async def test_turns_of_one_run_are_numbered_on_across_requests_and_apart_from_other_users(
    api: Replica, dsn: Dsn
) -> None:
    await api.add(TURNS[1:], user_id="a", run_id="r")
    await api.add("one more", user_id="a", run_id="r")
    await api.add("another user's run of the same name", user_id="b", run_id="r")
    await api.add("no run at all")
    with psycopg.connect(dsn.superuser) as conn:
        turns = conn.execute("SELECT user_id, turn FROM memory_versions ORDER BY seq").fetchall()
    assert turns == [("a", 1), ("a", 2), ("a", 3), ("a", 4), ("b", 1), (None, None)]


async def test_a_list_goes_newest_first_through_pages_without_gap_or_repeat(api: Replica) -> None:
    for n in range(7):
        await api.add(f"note {n}", user_id="u")
    await api.add("somebody else's", user_id="v")
    seen, cursor = [], None
    while True:
        parameters = {"user_id": "u", "limit": 3} | ({"cursor": cursor} if cursor else {})
        page = (await api.client.get("/memories", params=parameters)).json()
        seen += [m["memory"] for m in page["results"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == [f"note {n}" for n in reversed(range(7))]


@pytest.mark.parametrize("field", ["user_id", "agent_id", "app_id", "run_id"])
async def test_each_of_the_four_ids_narrows_a_list(api: Replica, field: str) -> None:
    await api.add("mine", **{field: "x"})
    await api.add("not mine", **{field: "y"})
    page = (await api.client.get("/memories", params={field: "x"})).json()
    assert [m["memory"] for m in page["results"]] == ["mine"]


async def test_an_update_makes_the_next_version_and_keeps_what_it_does_not_name(api: Replica) -> None:
    [added] = await api.add("Tea", user_id="u", metadata={"k": 1}, timestamp="2020-01-01T00:00:00Z")
    path = f"/memories/{added['id']}"
    before = (await api.client.get(path)).json()
    updated = (await api.client.put(path, json={"data": "Coffee"})).json()
    assert (updated["memory"], updated["version"], updated["metadata"]) == ("Coffee", 2, {"k": 1})
    for kept in ("id", "user_id", "event_time", "created_at"):
        assert updated[kept] == before[kept], kept
    assert updated["updated_at"] > before["updated_at"]
    again = (await api.client.put(path, json={"metadata": {"k": 2}})).json()
    assert (again["memory"], again["version"], again["metadata"]) == ("Coffee", 3, {"k": 2})
    read = (await api.client.get(path)).json()
    assert read.pop("provenance") == {"key": "admin", "verbatim": True}
    assert read == again


async def test_history_tells_every_change_and_outlives_the_memory(api: Replica) -> None:
    [added] = await api.add("Tea")
    path = f"/memories/{added['id']}"
    await api.client.put(path, json={"text": "Coffee"})
    assert (await api.client.delete(path)).status_code == 200
    history = (await api.client.get(f"{path}/history")).json()
    assert [(h["event"], h["old_memory"], h["new_memory"], h["version"]) for h in history] == [
        ("ADD", None, "Tea", 1),
        ("UPDATE", "Tea", "Coffee", 2),
        ("DELETE", "Coffee", None, 3),
    ]
    assert [h["is_deleted"] for h in history] == [False, False, True]
    times = [h["updated_at"] for h in history]
    assert times == sorted(set(times))


async def test_a_change_to_another_version_than_the_current_is_refused(api: Replica) -> None:
    [added] = await api.add("Tea")
    path = f"/memories/{added['id']}"
    assert (await api.client.put(path, json={"text": "Coffee", "version": 1})).status_code == 200
    refused = await api.client.put(path, json={"text": "Water", "version": 1})
    assert refused.status_code == 409
    assert refused.json()["type"].endswith("/version-conflict")
    assert refused.json()["errors"][0]["field"] == "version"
    assert (await api.client.get(path)).json()["memory"] == "Coffee"


async def test_changes_at_once_all_take_their_turn(api: Replica) -> None:
    [added] = await api.add("start")
    path = f"/memories/{added['id']}"
    answers = await asyncio.gather(*(api.client.put(path, json={"text": f"change {n}"}) for n in range(8)))
    assert {a.status_code for a in answers} == {200}
    history = (await api.client.get(f"{path}/history")).json()
    assert [h["version"] for h in history] == list(range(1, 10))
    assert {h["new_memory"] for h in history[1:]} == {f"change {n}" for n in range(8)}
    assert [h["old_memory"] for h in history[1:]] == [h["new_memory"] for h in history[:-1]]


async def test_a_deleted_memory_is_gone_everywhere_but_from_history(api: Replica) -> None:
    [added] = await api.add("Tea with Alice", user_id="u")
    path = f"/memories/{added['id']}"
    assert (await api.client.delete(path)).json()["deleted"] == 1
    for answer in (
        await api.client.get(path),
        await api.client.put(path, json={"text": "raised"}),
        await api.client.delete(path),
    ):
        assert answer.status_code == 404
    assert (await api.client.get("/memories", params={"user_id": "u"})).json()["results"] == []
    assert await api.search("Tea with Alice", user_id="u") == []


async def test_deleting_a_scope_takes_exactly_that_scope(api: Replica) -> None:
    for user in ("u", "u", "v"):
        await api.add("note", user_id=user)
    assert (await api.client.delete("/memories", params={"user_id": "u"})).json()["deleted"] == 2
    assert [m["user_id"] for m in (await api.client.get("/memories")).json()["results"]] == ["v"]


async def test_a_scope_of_any_size_is_deleted_in_parts_that_a_repetition_goes_on_from(
    fleet: Fleet, dsn: Dsn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changing, "DELETED", 20)
    async with fleet.replica(DATABASE_TIMEOUT_SECONDS=1) as api:
        for number in range(5):
            await api.add([{"role": "user", "content": f"note {number} {n}"} for n in range(20)], user_id="u")
        await api.add("note", user_id="v")
        with psycopg.connect(dsn.superuser) as conn:  # all at once would take two seconds
            conn.execute(
                "CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS"
                " 'BEGIN PERFORM pg_sleep(CASE NEW.seq WHEN 50 THEN 2 ELSE 0.02 END); RETURN NEW; END'"
            )
            conn.execute(
                "CREATE TRIGGER slowly BEFORE UPDATE ON memory_versions FOR EACH ROW EXECUTE FUNCTION slowly()"
            )

        async def left() -> int:
            page = await api.client.get("/memories", params={"user_id": "u", "limit": 200})
            return len(page.json()["results"])

        assert (await api.client.delete("/memories", params={"user_id": "u"})).status_code == 503
        assert await left() == 60  # the third part failed
        with psycopg.connect(dsn.superuser) as conn:
            conn.execute(
                "CREATE OR REPLACE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS"
                " 'BEGIN PERFORM pg_sleep(0.02); RETURN NEW; END'"
            )
        assert (await api.client.delete("/memories", params={"user_id": "u"})).json()["deleted"] == 60
        assert await left() == 0
        assert len((await api.client.get("/memories")).json()["results"]) == 1


@pytest.mark.parametrize("query", ["", "user_id=", "filters=%7B%7D", "user_id=%20"])
async def test_deleting_without_a_scope_is_refused_and_deletes_nothing(api: Replica, query: str) -> None:
    await api.add("precious")
    refused = await api.client.delete(f"/memories?{query}")
    assert refused.status_code == 400
    assert refused.json()["errors"]
    assert len((await api.client.get("/memories")).json()["results"]) == 1


async def test_an_expired_memory_is_not_answered_any_more(api: Replica) -> None:
    soon = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
    [added] = await api.add("parking spot 12", user_id="u", expires_at=soon)
    path = f"/memories/{added['id']}"
    assert (await api.client.get(path)).status_code == 200

    async def gone() -> bool:
        return (await api.client.get(path)).status_code == 404

    await until("the memory expires", gone)
    assert await api.search("parking spot", user_id="u") == []
    assert (await api.client.get("/memories", params={"user_id": "u"})).json()["results"] == []


async def test_a_memory_that_never_was_is_not_found(api: Replica) -> None:
    for method, body in (("GET", None), ("PUT", {"text": "x"}), ("DELETE", None)):
        answer = await api.client.request(method, f"/memories/{uuid4()}", json=body)
        assert answer.status_code == 404
        assert answer.json()["type"].endswith("/not-found")
    assert (await api.client.get(f"/memories/{uuid4()}/history")).status_code == 404


@pytest.mark.parametrize(
    ("fault", "status"), [(EmbedderUnavailable("away"), 503), (EmbedderRejected("wrong key"), 502)]
)
async def test_nothing_is_half_written_when_the_embedder_fails(api: Replica, fault: Exception, status: int) -> None:
    api.embedder.fault = fault
    answer = await api.client.post("/memories", json={"messages": TURNS})
    assert answer.status_code == status
    assert ("retry-after" in answer.headers) == (status == 503)
    assert "wrong key" not in answer.text
    api.embedder.fault = None
    assert (await api.client.get("/memories")).json()["results"] == []


async def test_only_a_system_message_stores_nothing(api: Replica) -> None:
    assert await api.add(TURNS[:1]) == []
    assert (await api.client.get("/memories")).json()["results"] == []


async def test_an_entity_s_kind_is_the_most_telling_one_found(api: Replica, dsn: Dsn) -> None:
    await api.add("Hey Caroline!", user_id="u")
    await api.add([{"role": "user", "content": "Hello everyone", "name": "Caroline"}], user_id="u")
    await api.add("What does Caroline say?", user_id="u")
    with psycopg.connect(dsn.superuser) as conn:
        rows = conn.execute("SELECT kind FROM entities WHERE key = 'caroline'").fetchall()
    assert rows == [("person",)]


async def test_writers_of_the_same_entities_do_not_deadlock(api: Replica) -> None:
    names = ["Anna", "Boris", "Clara", "Dmitri", "Elena"]
    turns = [
        [{"role": "user", "content": f"I met {a} and {b}", "name": b} for a in names[n:] for b in names] for n in (0, 1)
    ]
    results = await asyncio.gather(*(api.add(turns[n % 2], user_id=f"u{n}") for n in range(12)))
    assert all(results)
