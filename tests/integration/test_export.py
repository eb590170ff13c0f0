"""A project out and in again: nothing is lost, nothing is doubled, and a broken-off import is run again."""

from __future__ import annotations

import asyncio
import json
import time
import unicodedata
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import AsyncMock
from uuid import uuid4

import httpx
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memsys_api.model import Scope
from memsys_api.ports import EmbedderUnavailable, Vectors

from .conftest import Dsn, Fleet, MakeKey, Replica
from .support.dump import holding
from .support.erasing import erase
from .support.parts import WordEmbedder
from .support.waiting import until

HEADER = {"format": "memsys-export", "version": 1, "heads": False}


async def _export(api: Replica, project: str = "default", **query: Any) -> bytes:
    answer = await api.client.get("/export", params=query, headers={"X-Memsys-Project": project})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    return answer.content


async def _import(api: Replica, content: bytes, project: str = "default") -> dict[str, Any]:
    answer = await api.client.post("/import", content=content, headers={"X-Memsys-Project": project})
    assert answer.status_code == 200, answer.text
    report: dict[str, Any] = answer.json()
    return report


def _file(*lines: dict[str, Any], end: bool = True) -> bytes:
    last = [{"end": True, "versions": len(lines)}] if end else []
    return "\n".join(json.dumps(line) for line in [HEADER, *lines, *last]).encode()


def _line(text: str = "tea at five", **fields: Any) -> dict[str, Any]:
    return {"id": str(uuid4()), "memory": text, **fields}


@pytest.mark.parametrize("field", ["created_at", "recorded_from"])
async def test_what_is_recorded_in_the_future_is_refused(api: Replica, field: str) -> None:
    later = (datetime.now(UTC) + timedelta(hours=9)).isoformat()
    told = _line(event_time=later)  # what is to happen may be told of
    report = await _import(api, _file(told, _line(**{field: later})))
    assert (report["imported"], report["failed"]) == (1, 1)
    (error,) = report["errors"]
    assert (error["line"], error["field"]) == (3, field)
    assert "future" in error["message"]
    (memory,) = (await api.client.get("/memories")).json()["results"]
    assert memory["id"] == told["id"]


_IDS = st.sampled_from(["u", "v", None])
_ADDS = st.fixed_dictionaries(
    {
        "text": st.sampled_from(
            [
                "Priya met Tom in Lisbon.",
                "I moved to Oslo",
                "tea — 茶 \\ \" '",
                "Tom works at Acme.",
                f"it is Ey{'Ab9' * 400}.",
            ]
        ),
        "user_id": _IDS,
        "run_id": _IDS,
        "metadata": st.dictionaries(
            st.text("aé.", max_size=2), st.none() | st.integers(-9, 9) | st.floats(-1, 1) | st.just(["x", {"y": 1}])
        ),
        "timestamp": st.sampled_from([None, "2019-06-01T12:00:00.123456+02:00"]),
        "expires_at": st.sampled_from([None, "2090-01-01T00:00:00Z"]),
    }
)
_CHANGES = st.sampled_from(["text", "metadata", "delete", "POSITIVE", "NEGATIVE"])
_STEPS = st.lists(st.tuples(st.just("add"), _ADDS) | st.tuples(_CHANGES, st.integers(0, 5)), max_size=12)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=_STEPS)
async def test_what_was_exported_and_imported_is_exported_the_same(api: Replica, steps: list[Any]) -> None:
    there, back = f"p{uuid4().hex}", f"p{uuid4().hex}"
    headers = {"X-Memsys-Project": there}
    ids: list[str] = []
    for kind, what in steps:
        if kind == "add":
            answer = await api.client.post("/memories", json=what, headers=headers)
            ids.append(answer.json()["results"][0]["id"])
        elif ids:
            path = f"/memories/{ids[what % len(ids)]}"
            if kind == "delete":
                await api.client.delete(path, headers=headers)
            elif kind in ("POSITIVE", "NEGATIVE"):
                word = {"memory_id": ids[what % len(ids)], "feedback": kind, "feedback_reason": f"{what} — 茶"}
                await api.client.post("/v1/feedback/", json=word, headers=headers)
            else:
                change = {"text": f"{what} changed"} if kind == "text" else {"metadata": {"n": what}}
                await api.client.put(path, json=change, headers=headers)
    for query in ({}, {"heads": True}):
        written = await _export(api, there, **query)
        report = await _import(api, written, back)
        versions = len(written.splitlines()) - 2
        assert report == {
            "imported": versions,
            "unchanged": 0,
            "feedback": written.count(b'"feedback":'),
            "erased": 0,
            "held": 0,
            "failed": 0,
            "complete": True,
            "errors": [],
        }
        assert await _export(api, back, **query) == written
        again = await _import(api, written, back)
        assert (again["imported"], again["unchanged"], again["feedback"]) == (0, versions, 0)
        assert await _export(api, back, **query) == written
        back = f"p{uuid4().hex}"


async def test_an_imported_project_answers_as_the_first_one_did(graphed: Replica) -> None:
    api = graphed
    turns = [{"role": "user", "content": f"Priya said {n}", "name": "Priya"} for n in range(3)]
    added = await api.add(turns, user_id="u", run_id="r")
    await api.client.put(f"/memories/{added[0]['id']}", json={"text": "Priya said nothing"})
    await api.client.delete(f"/memories/{added[2]['id']}")
    await _import(api, await _export(api), "copy")
    asked = {"query": "what did Priya say", "user_id": "u", "explain": True}
    found = [
        (await api.client.post("/search", json=asked, headers={"X-Memsys-Project": project})).json()["results"]
        for project in ("default", "copy")
    ]
    for results in found:
        for result in results:
            del result["project"]
    assert found[0] == found[1] != []
    histories = [
        (await api.client.get(f"/memories/{added[0]['id']}/history", headers={"X-Memsys-Project": p})).json()
        for p in ("default", "copy")
    ]
    assert histories[0] == histories[1]
    assert api.sink
    live = {one["id"] for one in added[:2]}
    await until("the sink holds the copy", lambda: {
        str(i) for (project, i), record in api.sink.held.items() if project == "copy" and record.memory
    } == live)  # fmt: skip
    # It goes on from there: the next turn of the run, the next version of a memory.
    headers = {"X-Memsys-Project": "copy"}
    assert (await api.client.put(f"/memories/{added[0]['id']}", json={"text": "x"}, headers=headers)).json()[
        "version"
    ] == 3
    await api.client.post("/memories", json={"text": "more", "user_id": "u", "run_id": "r"}, headers=headers)
    last = [json.loads(line) for line in (await _export(api, "copy")).splitlines()][-2]
    assert (last["memory"], last["turn"]) == ("more", 4)


async def test_a_longer_history_goes_on_where_the_shorter_one_ended(api: Replica) -> None:
    [added] = await api.add("tea at five", user_id="u")
    path = f"/memories/{added['id']}"
    early = await _export(api)
    await _import(api, early, "copy")
    await api.client.put(path, json={"text": "tea at six"})
    await api.client.delete(path)
    late = await _export(api)
    report = await _import(api, late, "copy")
    assert (report["imported"], report["unchanged"]) == (2, 1)
    assert await _export(api, "copy") == late
    assert (await api.client.get(path, headers={"X-Memsys-Project": "copy"})).status_code == 404
    assert (await _import(api, early, "copy"))["unchanged"] == 1


async def test_the_newest_word_on_a_memory_arrives_wherever_it_was_said(api: Replica, dsn: Dsn) -> None:
    [added] = await api.add("tea at five")

    async def say(verdict: str, reason: str, project: str = "default") -> None:
        word = {"memory_id": added["id"], "feedback": verdict, "feedback_reason": reason}
        answer = await api.client.post("/v1/feedback/", json=word, headers={"X-Memsys-Project": project})
        assert answer.is_success, answer.text

    async def said(project: str) -> dict[str, Any]:
        url = f"/memories/{added['id']}/feedback"
        return dict((await api.client.get(url, headers={"X-Memsys-Project": project})).json())

    await say("NEGATIVE", "it was coffee")
    await api.client.put(f"/memories/{added['id']}", json={"text": "coffee at five"})
    early = await _export(api)
    judged = [json.loads(line).get("feedback") for line in early.splitlines()][1:-1]
    assert [word and (word["verdict"], word["reason"], word["given_by"]) for word in judged] == [
        ("NEGATIVE", "it was coffee", "admin"), None,
    ]  # fmt: skip
    assert (await _import(api, early, "copy"))["feedback"] == 1
    assert await said("copy") == await said("default")
    await say("POSITIVE", "now it is right")
    late = await _export(api)
    report = await _import(api, late, "copy")
    assert (report["imported"], report["unchanged"], report["feedback"]) == (0, 2, 1)
    assert await said("copy") == await said("default")
    assert (await _import(api, early, "copy"))["feedback"] == 0
    await say("VERY_NEGATIVE", "said in the copy, and last", "copy")
    assert (await _import(api, late, "copy"))["feedback"] == 0
    assert (await said("copy"))["feedback"] == "VERY_NEGATIVE"
    # A suspect word on a version that is there is refused by its field, and that once.
    line = json.loads(late.splitlines()[1])
    line["feedback"] = {"verdict": "NEGATIVE", "reason": "the password is Tr0ub4dor-and-3"}
    line["feedback"]["given_at"] = "2090-01-01T00:00:00Z"
    await api.client.put("/policy", json={"quarantine": "hold"}, headers={"X-Memsys-Project": "copy"})
    report = await _import(api, _file(line), "copy")
    assert (report["unchanged"], report["held"], report["failed"]) == (1, 0, 1)
    assert (report["errors"][0]["field"], "password" in report["errors"][0]["message"]) == ("feedback.reason", True)
    assert holding(dsn.superuser, "Tr0ub4dor") == {}


async def test_lines_fail_on_their_own_and_say_why(api: Replica) -> None:
    [known] = await api.add("already here")
    good = _line(user_id="u", run_id="r")
    content = _file(
        good, {"id": "x"}, _line(version=2), _line(" "), {"id": known["id"], "memory": "other"}, _line("last")
    )
    report = await _import(api, content + b"\nnot json")
    assert (report["imported"], report["failed"], report["complete"]) == (2, 5, False)
    assert [(e["line"], e["field"]) for e in report["errors"]] == [
        (3, "id"), (5, None), (9, None), (4, "version"), (6, "id"),
    ]  # fmt: skip
    memory = (await api.client.get(f"/memories/{good['id']}")).json()
    assert (memory["memory"], memory["user_id"], memory["version"]) == ("tea at five", "u", 1)


@pytest.mark.parametrize("content", [b"", b"\n\n", b"{}", b"nonsense", b'{"format": "memsys-export", "version": 2}'])
async def test_what_is_no_export_is_refused_as_a_whole(api: Replica, content: bytes) -> None:
    answer = await api.client.post("/import", content=content)
    assert answer.status_code == 400
    assert answer.json()["errors"]


async def test_a_file_may_be_longer_than_a_body_but_a_line_may_not(fleet: Any) -> None:
    async with fleet.replica(MEMSYS_MAX_BODY_BYTES=2_000) as api:
        content = _file(*[_line("x" * 500) for _ in range(9)], _line("y" * 2_000))
        report = await _import(api, content)
        assert (report["imported"], report["failed"]) == (9, 1)
        assert report["errors"] == [{"line": 11, "field": None, "message": "is longer than a request's body may be"}]


async def test_an_import_that_broke_off_is_run_again(api: Replica) -> None:
    lines = [_line(f"fact {n}") for n in range(450)]
    content = _file(*lines)

    async def breaks_off() -> AsyncIterator[bytes]:
        yield content[: len(content) // 2]
        api.embedder.fault = EmbedderUnavailable("gone")
        yield content[len(content) // 2 :]

    answer = await api.client.post("/import", content=breaks_off())
    assert answer.status_code == 503
    api.embedder.fault = None
    report = await _import(api, content)
    assert (report["imported"], report["unchanged"], report["complete"]) == (250, 200, True)
    assert (await _import(api, _file(*lines, end=False)))["complete"] is False


class _SlowEmbedder(WordEmbedder):
    """Takes its time, and for ever with one text."""

    async def embed(self, texts: Sequence[str]) -> Vectors:
        await asyncio.sleep(1)
        if "take your time" in texts:
            await asyncio.Event().wait()
        return await super().embed(texts)


async def test_an_import_may_take_as_long_as_it_commits_something(fleet: Fleet) -> None:
    lines = [_line(f"fact {n}") for n in range(700)]
    async with fleet.replica(embedder=_SlowEmbedder(), MEMSYS_REQUEST_TIMEOUT_SECONDS=3) as api:
        begun = time.monotonic()
        assert (await _import(api, _file(*lines)))["imported"] == 700
        assert time.monotonic() - begun > 3
        more = [_line(f"more {n}") for n in range(200)]
        refused = await api.client.post("/import", content=_file(*more, _line("take your time")))
        assert refused.status_code == 503
        assert "send the same again" in refused.json()["detail"]
        assert (await _import(api, _file(*more)))["unchanged"] == 200


async def test_a_narrow_key_exports_its_own_and_imports_nothing(api: Replica, keyed: MakeKey) -> None:
    await api.add("hers", user_id="alice")
    await api.add("his", user_id="bob")
    async with keyed(user_id="alice", rights=["read", "write", "admin"]) as client:
        lines = [json.loads(line) for line in (await client.get("/export")).content.splitlines()]
        assert [line["memory"] for line in lines[1:-1]] == ["hers"]
        assert (await client.post("/import", content=_file(_line(user_id="alice")))).status_code == 403
    async with keyed(rights=["read", "write"]) as client:
        assert (await client.get("/export")).status_code == 200
        assert (await client.post("/import", content=_file())).status_code == 403


async def test_an_export_is_of_one_moment_and_few_run_at_once(api: Replica, dsn: Dsn) -> None:
    for n in range(3):
        await api.add(f"fact {n}")
    check = AsyncMock()

    async def begun(project: str) -> AsyncGenerator[bytes, None]:
        stream = api.service.exporting.export(Scope(project), heads=False, check=check)
        assert await anext(stream)
        return stream

    async def refused(project: str) -> str:
        answer = await api.client.get("/export", headers={"X-Memsys-Project": project})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        return str(answer.json()["detail"])

    streams = [await begun("default"), await begun("default")]
    assert "2 exports of this project" in await refused("default")  # and slow readers of one keep nobody else waiting
    assert (await api.client.get("/export", headers={"X-Memsys-Project": "other"})).status_code == 200
    streams += [await begun("other"), await begun("third")]
    assert "4 exports" in await refused("fourth")
    for stream in streams:
        await stream.aclose()
    for project in ("default", "fourth"):
        assert (await api.client.get("/export", headers={"X-Memsys-Project": project})).status_code == 200
    with psycopg.connect(dsn.superuser, autocommit=True) as conn:
        query = "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction' AND datname = %s"
        await until(
            "none of them holds on to its connection",
            lambda: conn.execute(query, (dsn.name,)).fetchone() == (0,),
        )


async def test_an_unreachable_database_is_an_answer_not_half_a_file(api: Replica) -> None:
    api.service.database._url = "postgresql://nobody@127.0.0.1:9/nothing"
    answer: httpx.Response = await api.client.get("/export")
    assert answer.status_code == 503


async def test_an_import_brings_back_nothing_erased_unless_told_to(api: Replica, keyed: MakeKey) -> None:
    [hers], [his], [kept] = [await api.add(f"tea with {name}", user_id=name) for name in ("alice", "bob", "carol")]
    await api.client.put(f"/memories/{hers['id']}", json={"text": "coffee"})
    file = await _export(api)
    for scope in ({"user_id": "alice"}, {"memory_ids": [his["id"]]}):
        await erase(api, **scope)
    report = await _import(api, file)
    assert (report["imported"], report["unchanged"], report["erased"], report["failed"]) == (0, 1, 3, 0)
    assert [error["line"] for error in report["errors"]] == [2, 3, 4]
    assert (await api.client.get(f"/memories/{kept['id']}")).status_code == 200
    for one in (hers, his):
        assert (await api.client.get(f"/memories/{one['id']}")).status_code == 404
    # A user may come back: what was recorded later is new, and what says no time may be old.
    later = _line(user_id="alice", created_at=datetime.now(UTC).isoformat())
    report = await _import(api, _file(later, _line(user_id="alice")))
    assert (report["imported"], report["erased"]) == (1, 1)
    # Nothing is held against it in another project, and here not when it is said so, which the trail tells.
    assert (await _import(api, file, "elsewhere"))["imported"] == 4
    answer = await api.client.post("/import", content=file, params={"erased": True})
    assert (answer.json()["imported"], answer.json()["unchanged"], answer.json()["erased"]) == (3, 1, 0)
    assert (await _import(api, file))["unchanged"] == 4
    acts = (await api.client.get("/audit", params={"action": "erasure.overridden"})).json()["results"]
    assert sorted(act["detail"]["versions"] for act in acts) == [1, 2]


async def test_an_import_waits_for_no_language_model(api: Replica) -> None:
    line = _line(provenance={"key": "k", "verbatim": True, "inference": "pending"})
    await _import(api, _file(line))
    found = (await api.client.get(f"/memories/{line['id']}")).json()
    assert found["provenance"] == {"key": "k", "verbatim": True}


async def test_an_imported_text_is_found_in_every_form_of_unicode(api: Replica) -> None:
    text = unicodedata.normalize("NFD", "Renée Dubois called")
    await _import(api, _file(_line(text, user_id="u")))
    best = (await api.search("Renée", user_id="u", explain=True))[0]
    assert (best["memory"], best["score_parts"]["text"] > 0) == (text, True)
    assert (await api.client.get("/graph/entities/Renée Dubois/timeline")).status_code == 200
