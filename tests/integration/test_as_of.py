"""What was known at a moment: one memory, lists in pages, and histories in pages."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from memsys_api.store import past

from .conftest import Dsn, Replica


def _now() -> str:
    return datetime.now(UTC).isoformat()


async def _list(api: Replica, **query: Any) -> list[str]:
    """Every page of a list, one after the other."""
    texts, cursor = [], None
    while True:
        answer = await api.client.get("/memories", params=query | ({"cursor": cursor} if cursor else {}))
        assert answer.status_code == 200, answer.text
        texts += [memory["memory"] for memory in answer.json()["results"]]
        cursor = answer.json()["next_cursor"]
        if cursor is None:
            return texts


async def test_a_memory_is_read_as_it_was_before_it_was_changed_and_deleted(api: Replica) -> None:
    before = _now()
    [added] = await api.add("tea at five", user_id="u")
    path, first = f"/memories/{added['id']}", _now()
    await api.client.put(path, json={"text": "tea at six"})
    second = _now()
    await api.client.delete(path)
    assert (await api.client.get(path)).status_code == 404
    assert (await api.client.get(path, params={"as_of": before})).status_code == 404
    for moment, text, version in ((first, "tea at five", 1), (second, "tea at six", 2)):
        then = (await api.client.get(path, params={"as_of": moment})).json()
        assert (then["memory"], then["version"]) == (text, version)
    assert (await api.client.get(path, params={"as_of": _now()})).status_code == 404
    assert await _list(api, as_of=first) == ["tea at five"]
    assert await _list(api, as_of=second) == ["tea at six"]
    assert await _list(api) == []


async def test_pages_of_a_moment_do_not_shift_while_memories_come_and_go(api: Replica) -> None:
    added = [(await api.add(f"fact {n}", user_id="u", metadata={"even": n % 2 == 0}))[0] for n in range(7)]
    moment = _now()
    first = (await api.client.get("/memories", params={"as_of": moment, "limit": 3})).json()
    await api.add("a late one", user_id="u")
    for one in added[2:5]:
        await api.client.delete(f"/memories/{one['id']}")
    rest = await _list(api, as_of=moment, limit=3, cursor=first["next_cursor"])
    texts = [memory["memory"] for memory in first["results"]]
    assert texts + rest[-4:] == [f"fact {n}" for n in range(6, -1, -1)]
    assert await _list(api, as_of=moment, filters='{"even": true}', limit=2) == ["fact 6", "fact 4", "fact 2", "fact 0"]
    assert await _list(api, filters='{"even": true}') == ["fact 6", "fact 0"]


async def test_a_list_goes_on_behind_its_cursor_while_rows_are_added_and_deleted(api: Replica) -> None:
    added = [(await api.add(f"fact {n}"))[0] for n in range(6)]
    page = (await api.client.get("/memories", params={"limit": 2})).json()
    await api.add("a late one")
    for place in (4, 3):  # the cursor's own memory, and the one after it
        await api.client.delete(f"/memories/{added[place]['id']}")
    rest = (await api.client.get("/memories", params={"cursor": page["next_cursor"]})).json()
    assert [memory["memory"] for memory in rest["results"]] == ["fact 2", "fact 1", "fact 0"]


@pytest.mark.parametrize("query", [
    {"as_of": "yesterday"}, {"as_of": "2026-05-01T12:00:00"}, {"filters": "{'a': 1}"}, {"filters": "[]"},
    {"filters": "{}"}, {"filters": '{"a": "\\u0000"}'}, {"colour": "red"}, {"limit": ["1", "2"]},
], ids=str)  # fmt: skip
async def test_what_a_list_cannot_understand_is_refused_by_name(api: Replica, query: dict[str, Any]) -> None:
    answer = await api.client.get("/memories", params=query)
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == list(query)


async def test_a_history_is_complete_and_read_in_pages(api: Replica) -> None:
    [added] = await api.add("0")
    path = f"/memories/{added['id']}"
    for n in range(1, 6):
        await api.client.put(path, json={"text": str(n)})
    await api.client.delete(path)
    whole = (await api.client.get(f"{path}/history")).json()
    assert [(e["event"], e["old_memory"], e["new_memory"]) for e in whole] == [
        ("ADD", None, "0"), *(("UPDATE", str(n - 1), str(n)) for n in range(1, 6)), ("DELETE", "5", None),
    ]  # fmt: skip
    paged, url = [], f"{path}/history?limit=3"
    while url:
        answer = await api.client.get(url)
        paged.append(answer.json())
        url = answer.links["next"]["url"] if "next" in answer.links else ""
    assert [len(page) for page in paged] == [3, 3, 1]
    assert [entry for page in paged for entry in page] == whole
    assert (await api.client.get(f"{path}/history", params={"after": 7})).json() == []
    assert (await api.client.get(f"/memories/{uuid4()}/history", params={"after": 7})).status_code == 404


async def test_what_is_known_at_a_moment_is_the_same_for_ever_though_writers_were_under_way(api: Replica) -> None:
    added = [(await api.add(f"old {n}", user_id="u"))[0]["id"] for n in range(100)]
    updates = [{"memory_id": memory_id, "text": f"new {n}"} for n, memory_id in enumerate(added)]
    writing = asyncio.create_task(api.client.put("/v1/batch/", json={"memories": updates}))
    known: list[tuple[str, list[str]]] = []
    while not writing.done():
        moment = _now()
        known.append((moment, await _list(api, as_of=moment, limit=100)))
    assert (await writing).is_success
    assert len(known) > 1
    for moment, texts in known:
        assert await _list(api, as_of=moment, limit=100) == texts


async def test_a_moment_before_which_a_writer_began_is_waited_for_and_then_refused(
    api: Replica, dsn: Dsn, monkeypatch: pytest.MonkeyPatch
) -> None:
    [added] = await api.add("tea at five", user_id="u")
    earlier = _now()
    with psycopg.connect(dsn.app) as writer:
        writer.execute("SELECT 1")
        moment = _now()
        asks: list[Callable[[], Awaitable[httpx.Response]]] = [
            lambda: api.client.get(f"/memories/{added['id']}", params={"as_of": moment}),
            lambda: api.client.get("/memories", params={"as_of": moment}),
            lambda: api.client.post("/search", json={"query": "tea", "as_of": moment}),
            lambda: api.client.get("/graph/entities/tea/timeline", params={"as_of": moment}),
        ]
        assert (await api.client.get("/memories", params={"as_of": earlier})).is_success
        assert (await api.client.get("/memories", params={"as_of": "2999-01-01T00:00:00Z"})).is_success
        assert (await api.client.get("/memories")).is_success
        monkeypatch.setattr(past, "SETTLE_SECONDS", 0.2)
        for ask in asks:
            refused = await ask()
            assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
            assert "as_of" in refused.json()["detail"]
        monkeypatch.undo()
        waiting = [asyncio.ensure_future(ask()) for ask in asks]
        done, _ = await asyncio.wait(waiting, timeout=0.2)
        assert not done
    for one in waiting:
        assert (await one).status_code in (200, 404)


async def test_the_clock_that_dates_what_is_recorded_says_which_moment_is_to_come(
    api: Replica, dsn: Dsn, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Behind(datetime):
        """The clock of a replica that has fallen behind."""

        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Behind:
            return super().now(tz) - timedelta(minutes=1)

    monkeypatch.setattr(past, "datetime", Behind)
    monkeypatch.setattr(past, "SETTLE_SECONDS", 0.2)
    [added] = await api.add("tea at five", user_id="u")
    with psycopg.connect(dsn.app) as writer:
        writer.execute("SELECT 1")
        refused = await api.client.get(f"/memories/{added['id']}", params={"as_of": _now()})
        assert (refused.status_code, refused.headers.get("Retry-After")) == (503, "1")
