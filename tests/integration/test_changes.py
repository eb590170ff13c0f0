"""The change stream: everything once and in order, whatever commits late, and resumable from anywhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import httpx
import psycopg

from memsys_api.store import retention
from memsys_api.store.database import Database

from .conftest import Dsn, MakeKey, Replica
from .support.erasing import erase
from .support.listening import SSE, listening
from .support.waiting import until


async def page(api: Replica, since: str | None = None, **query: Any) -> dict[str, Any]:
    answer = await api.client.get("/changes", params=query | ({"since": since} if since else {}))
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def walk(api: Replica, since: str, **query: Any) -> tuple[list[dict[str, Any]], str]:
    """All changes from a position on, page by page, and the position behind them."""
    found = []
    while True:
        one = await page(api, since, **query)
        found += one["results"]
        since = one["next"]
        if not one["more"]:
            return found, since


def what(changes: list[dict[str, Any]]) -> list[tuple[str, int]]:
    return [(change["event"], change["version"]) for change in changes]


async def test_pages_hold_everything_once_in_order_and_can_be_resumed_after_each_change(api: Replica) -> None:
    begin = (await page(api))["next"]
    (tea,) = await api.add("Alice likes tea", user_id="u")
    await api.client.put(f"/memories/{tea['id']}", json={"text": "Alice likes coffee"})
    (bob,) = await api.add("Bob likes tea", user_id="v")
    await api.client.delete(f"/memories/{tea['id']}")
    everything, end = await walk(api, begin)
    assert what(everything) == [("added", 1), ("updated", 2), ("added", 1), ("deleted", 3)]
    assert [change["user_id"] for change in everything] == ["u", "u", "v", "u"]
    assert "memory" not in everything[0]
    assert await walk(api, begin, limit=1) == (everything, end)
    for place, change in enumerate(everything):
        assert (await walk(api, change["id"]))[0] == everything[place + 1 :]
    assert what((await walk(api, "earliest"))[0]) == what(everything)
    assert (await walk(api, end))[0] == []
    assert what((await walk(api, begin, user_id="v"))[0]) == [("added", 1)]
    texts = [change["memory"] for change in (await walk(api, begin, include="memory"))[0]]
    assert texts == [None, None, "Bob likes tea", None]  # what is deleted by now is not read out
    assert (await walk(api, begin))[0][2]["memory_id"] == bob["id"]


async def test_what_commits_late_is_never_skipped_nor_out_of_order(api: Replica, dsn: Dsn) -> None:
    """Transactions that overlap in every way, and a reader that looks after each step."""
    begin = (await page(api))["next"]
    (tea,) = await api.add("Alice likes tea", user_id="u")
    seen, at = await walk(api, begin)
    write = """INSERT INTO outbox (project, event, memory_id, version)
               SELECT 'default', 'updated', %s, n FROM unnest(%s::int[]) n"""
    connections = [psycopg.connect(dsn.superuser) for _ in range(3)]
    first, second, third = connections

    async def look() -> list[int]:
        nonlocal at
        new, at = await walk(api, at, limit=1)
        seen.extend(new)
        return [change["version"] for change in new]

    try:
        first.execute(write, (tea["id"], [10]))  # the lowest number, committed last
        second.execute(write, (tea["id"], [11]))
        assert await look() == []
        second.commit()
        assert await look() == []  # a lower one is under way
        third.execute(write, (tea["id"], [12]))
        second.execute(write, (tea["id"], [13]))
        second.commit()
        first.execute(write, (tea["id"], [14]))
        first.commit()
        assert await look() == [10, 11, 14]  # up to the oldest that is still under way
        third.rollback()
        assert await look() == [13]
    finally:
        for connection in connections:
            connection.close()
    again, _ = await walk(api, begin)
    assert sorted(change["version"] for change in again) == sorted(change["version"] for change in seen)
    assert len({change["id"] for change in seen}) == len(seen)


async def test_many_writers_at_once_and_a_reader_in_between_lose_nothing(api: Replica) -> None:
    begin = at = (await page(api))["next"]
    seen: list[dict[str, Any]] = []
    writing = True

    async def follow() -> None:
        nonlocal at
        while True:
            over = not writing
            new, at = await walk(api, at, limit=3)
            seen.extend(new)
            if over and not new:
                return

    async def write(user: int) -> None:
        (one,) = await api.add(f"Alice likes tea {user}", user_id=f"u{user}")
        for number in range(5):
            await api.client.put(f"/memories/{one['id']}", json={"text": f"Alice likes tea {user} {number}"})

    reader = asyncio.create_task(follow())
    await asyncio.gather(*(write(user) for user in range(12)))
    writing = False
    await reader
    assert len(seen) == len({(change["memory_id"], change["version"]) for change in seen}) == 12 * 6
    for memory_id in {change["memory_id"] for change in seen}:
        assert [c["version"] for c in seen if c["memory_id"] == memory_id] == [1, 2, 3, 4, 5, 6]
    assert len((await walk(api, begin))[0]) == 12 * 6


async def test_a_position_that_has_been_passed_is_gone_and_one_that_has_seen_all_is_not(api: Replica, dsn: Dsn) -> None:
    begin = (await page(api))["next"]
    for text in ("old one", "old two", "new"):
        await api.add(text, user_id="u")
    (first, second, _), end = await walk(api, begin)
    with psycopg.connect(dsn.superuser) as conn:
        conn.execute("UPDATE outbox SET occurred_at = now() - interval '8 days' WHERE memory_id IN "
                     "(SELECT id FROM memory_versions WHERE text LIKE 'old%')")  # fmt: skip
    await retention.sweep(api.service.database)
    for gone in (begin, first["id"]):
        for headers in ({}, SSE):
            answer = await api.client.get("/changes", params={"since": gone}, headers=headers)
            assert answer.status_code == 410
            assert answer.json()["type"].endswith("/gone")
            assert "begin anew" in answer.json()["detail"]
    for kept, new in ((second["id"], 1), (end, 0), ("earliest", 1)):
        assert len((await walk(api, kept))[0]) == new
    other = "1-" + "f" * 24 + end[end.index("-", 2) :]
    assert (await api.client.get("/changes", params={"since": other})).status_code == 410
    for wrong in ("5", "yesterday", "1-aa-2-1-0"):
        answer = await api.client.get("/changes", params={"since": wrong})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "since")
    answer = await api.client.get("/changes", headers={"Last-Event-ID": "x"})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "Last-Event-ID")


async def test_changes_from_a_backup_that_was_read_as_sql_are_shown_too(api: Replica, dsn: Dsn) -> None:
    await api.add("Alice likes tea", user_id="u")
    with psycopg.connect(dsn.superuser) as conn:
        conn.execute("UPDATE outbox SET xid = '99999999999'")
    assert (await walk(api, "earliest"))[0] == []
    await retention.sweep(api.service.database)
    assert what((await walk(api, "earliest"))[0]) == [("added", 1)]


async def test_a_key_sees_what_it_may_see(api: Replica, keyed: MakeKey) -> None:
    await api.add("Alice likes tea", user_id="u")
    await api.add("Bob likes tea", user_id="v")
    async with keyed(user_id="u", rights=["read"]) as bound, keyed(projects=["other"]) as stranger:
        mine = (await bound.get("/changes", params={"since": "earliest"})).json()["results"]
        assert [change["user_id"] for change in mine] == ["u"]
        assert (await bound.get("/changes", params={"user_id": "v"})).status_code == 403
        assert (await stranger.get("/changes", params={"since": "earliest"})).json()["results"] == []
    async with keyed(rights=["write"]) as writer:
        assert (await writer.get("/changes")).status_code == 403


async def test_a_narrow_reader_is_told_to_drop_what_an_erasure_took(api: Replica, keyed: MakeKey) -> None:
    begin = (await page(api))["next"]
    ids = {"user_id": "u", "agent_id": "a", "app_id": "p", "run_id": "r"}
    (first,), (second,), _ = [await api.add(text, **ids) for text in ("Alice likes tea", "Alice likes jam", "x")]
    await api.add("Bob likes tea", user_id="v")
    await api.client.delete(f"/memories/{first['id']}")
    receipt = (await erase(api, memory_ids=[first["id"], second["id"]]))["receipt"]
    async with keyed(user_id="u", rights=["read"]) as bound, keyed(user_id="v", rights=["read"]) as other:

        async def told(client: httpx.AsyncClient, **narrow: str) -> list[dict[str, Any]]:
            answer = await client.get("/changes", params={"since": begin, **narrow})
            return [change for change in answer.json()["results"] if change["event"] == "deleted"]

        for client, narrow in ((bound, {}), (api.client, {"run_id": "r"}), (api.client, {"app_id": "p"})):
            assert [change["memory_id"] for change in await told(client, **narrow)] == [first["id"], second["id"]]
        assert [{name: change[name] for name in ids} for change in await told(bound)] == [ids, ids]
        assert await told(other) == []
    (kept,) = [one for one in receipt["remains"] if one["where"] == "the log of changes"]
    assert "user_id" in kept["what"]
    left = datetime.fromisoformat(kept["until"]) - datetime.now(UTC)
    assert retention.OUTBOX < left < retention.OUTBOX + timedelta(hours=2)


async def add(client: httpx.AsyncClient, text: str, **fields: Any) -> str:
    answer = await client.post("/memories", json={"text": text, **fields})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["results"][0]["id"])


async def test_a_stream_tells_at_once_and_goes_on_where_it_was_broken_off(served: Any) -> None:
    async with served() as (client, _, _service):
        async with listening(client) as heard:
            await add(client, "Alice likes tea", user_id="u")
            await until("it was told", lambda: len(heard.events) == 1)
        last = heard.last_id
        assert last == heard.events[0]["id"]
        await add(client, "Alice likes coffee", user_id="u")
        async with listening(client, headers={"Last-Event-ID": last}) as again:
            await until("what came meanwhile was told", lambda: len(again.events) == 1)
            await add(client, "Alice likes milk", user_id="u")
            await until("and what comes now", lambda: len(again.events) == 2)
        async with listening(client, params={"since": "earliest", "include": "memory"}) as whole:
            await until("everything was told", lambda: len(whole.events) == 3)
            assert whole.events[0]["memory"] == "Alice likes tea"


async def test_a_change_made_through_another_replica_is_told_too(served: Any) -> None:
    async with served() as (one, _, _s), served() as (two, _, _t), listening(one) as heard:
        await add(two, "Alice likes tea")
        await until("it was told", lambda: len(heard.events) == 1)


async def test_silence_is_broken_by_signs_of_life_that_carry_the_position(served: Any) -> None:
    async with (
        served(CHANGES_HEARTBEAT_SECONDS=0.05) as (client, _, _service),
        listening(client, params={"user_id": "nobody"}) as heard,
    ):
        await until("it has a position", lambda: heard.last_id)
        begun = heard.last_id
        await add(client, "Alice likes tea", user_id="u")
        await until("several signs of life came", lambda: heard.comments > 3 and heard.last_id != begun)
        assert heard.events == []


async def test_streams_share_a_few_connections_and_their_number_is_limited(served: Any) -> None:
    async with served(CHANGES_MAX_STREAMS=10, DATABASE_POOL_SIZE=2) as (client, _, _service):

        async def streams(number: int) -> bool:
            return f"memsys_change_streams {number}.0" in (await client.get("/metrics")).text

        async with all_at_once(*(listening(client) for _ in range(8))) as all_heard:
            refused = await client.get("/changes", headers=SSE)
            assert refused.status_code == 503
            assert refused.json()["type"].endswith("/too-many-streams")
            assert "8 streams of the project" in refused.json()["detail"]
            assert refused.headers["Retry-After"]
            other, third = ({"X-Memsys-Project": name} for name in ("other", "third"))
            async with all_at_once(*(listening(client, headers=other) for _ in range(2))):
                refused = await client.get("/changes", headers=SSE | third)
                assert (refused.status_code, "of at most 10" in refused.json()["detail"]) == (503, True)
            assert (await client.get("/changes")).status_code == 200  # pages are no streams
            await add(client, "Alice likes tea")
            await until("all were told", lambda: all(len(heard.events) == 1 for heard in all_heard))
            await until("there is room for the others again", partial(streams, 8))
        await until("there is room for all again", partial(streams, 0))


async def test_a_stopping_server_ends_its_streams_at_once(served: Any) -> None:
    async with served() as (client, server, _service), listening(client) as heard:
        begun = asyncio.get_running_loop().time()
        server.should_exit = True
        await until("the stream has ended", lambda: heard.ended, 10)
        assert asyncio.get_running_loop().time() - begun < 5  # far below the time that answers are given to finish


async def test_a_stream_outlives_an_outage_of_the_database(served: Any, dsn: Dsn) -> None:
    async with served(CHANGES_HEARTBEAT_SECONDS=0.1) as (client, _, service), listening(client) as heard:
        dsn.server.execute(f"ALTER DATABASE {dsn.name} ALLOW_CONNECTIONS false")
        dsn.server.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{dsn.name}'")
        seen = heard.comments
        await until("it says that it waits", lambda: heard.comments > seen + 2)
        dsn.server.execute(f"ALTER DATABASE {dsn.name} ALLOW_CONNECTIONS true")
        await until("the database answers", lambda: answers(service.database), 20)
        await add(client, "Alice likes tea")
        await until("it was told", lambda: len(heard.events) == 1)


async def answers(database: Database) -> bool:
    try:
        await database.ping()
    except Exception:
        return False
    return True


@asynccontextmanager
async def all_at_once(*contexts: Any) -> AsyncIterator[list[Any]]:
    """All of these contexts at once."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(context) for context in contexts]
