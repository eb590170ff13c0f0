"""Suspect writes among many, and suspect facts that a language model makes of clean messages."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from memsys_api import metrics
from memsys_api.store import held as store
from memsys_api.store.database import DatabaseUnavailable
from tests.support.scripted_llm import Reply, ScriptedLLM

from .conftest import Dsn, Fleet, Replica
from .support.dump import holding
from .support.erasing import erase
from .test_inference_flow import facts, llm_settings
from .test_quarantine import SECRET, SUSPECT, held, policy
from .test_submissions import becomes

# Clean each by itself; what a model makes of them is not.
ASKED = [{"role": "assistant", "content": "And your password?"}, {"role": "user", "content": f"{SECRET}, as ever"}]
MADE = f"User says that the password is {SECRET}"


@pytest.fixture
def llm() -> Iterator[ScriptedLLM]:
    with ScriptedLLM() as server:
        server.answer = lambda _: Reply(facts(MADE))
        yield server


@pytest.fixture
async def thinking(fleet: Fleet, llm: ScriptedLLM) -> AsyncIterator[Replica]:
    async with fleet.replica(**llm_settings(llm, LLM_RETRY_BASE_SECONDS=0.01)) as replica:
        yield replica


def counted(outcome: str) -> float:
    value = metrics.REGISTRY.get_sample_value("memsys_quarantine_total", {"outcome": outcome})
    assert value is not None
    return value


async def ask(api: Replica, **fields: Any) -> httpx.Response:
    return await api.client.post("/memories", json={"messages": ASKED, "user_id": "ann", **fields})


async def decide(api: Replica, review: str, verdict: str) -> dict[str, Any]:
    answer = await api.client.post(f"/quarantine/{review}/{verdict}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_what_a_model_makes_of_clean_messages_is_held_with_them(thinking: Replica, dsn: Dsn) -> None:
    await policy(thinking, "hold")
    answer = await ask(thinking)
    assert answer.status_code == 202, answer.text
    (said,) = answer.json()["results"]
    assert [(found["kind"], found["field"]) for found in said["findings"]] == [("password", "facts.0")]
    assert SECRET not in answer.text
    assert set(holding(dsn.superuser, SECRET)) == {"held"}
    (waiting,) = await held(thinking)
    assert (waiting["kind"], waiting["facts"]) == ("add", [MADE])
    assert [message["content"] for message in waiting["request"]["messages"]] == [m["content"] for m in ASKED]
    released = await decide(thinking, said["review_id"], "release")
    assert (released["facts"], released["request"]) == (None, None)
    memory = (await thinking.client.get(f"/memories/{released['memory_ids'][0]}")).json()
    assert (memory["memory"], memory["provenance"]["quarantine"]) == (MADE, ["password"])


async def test_what_a_model_makes_of_clean_messages_is_refused(thinking: Replica, dsn: Dsn) -> None:
    await policy(thinking, "refuse")
    answer = await ask(thinking)
    assert (answer.status_code, answer.json()["type"].rsplit("/", 1)[1]) == (400, "quarantined")
    assert [error["field"] for error in answer.json()["errors"]] == ["facts.0"]
    assert SECRET not in answer.text
    assert holding(dsn.superuser, SECRET) == {}


async def test_a_repeated_request_stays_held_when_the_model_says_something_else(
    thinking: Replica, llm: ScriptedLLM
) -> None:
    await policy(thinking, "hold")
    body = {"messages": ASKED, "user_id": "ann"}
    first = await thinking.client.post("/memories", json=body, headers={"Idempotency-Key": "k"})
    llm.answer = lambda _: Reply(facts("User answers"))
    again = await thinking.client.post("/memories", json=body, headers={"Idempotency-Key": "k"})
    assert (again.status_code, again.json()) == (202, first.json())


@pytest.mark.parametrize("verdict", ["release", "reject"])
async def test_what_is_found_later_is_held_and_its_messages_are_buried(
    thinking: Replica, dsn: Dsn, verdict: str
) -> None:
    await policy(thinking, "hold")
    submitted = await ask(thinking, wait=False)
    found = await becomes(thinking, submitted.json()["id"], "HELD")
    assert (found["results"], found["error"], found["finished_at"]) == ([], None, None)
    assert (await thinking.client.get("/memories", params={"user_id": "ann"})).json()["results"] == []
    (waiting,) = await held(thinking)
    assert (waiting["id"], waiting["facts"], len(waiting["source_ids"])) == (found["review_id"], [MADE], 2)
    assert [m["content"] for m in waiting["request"]["messages"]] == [m["content"] for m in ASKED]
    await decide(thinking, found["review_id"], verdict)
    if verdict == "release":
        done = await becomes(thinking, found["id"], "SUCCEEDED")
        assert [result["memory"] for result in done["results"]] == [MADE]
    else:
        done = await becomes(thinking, found["id"], "FAILED")
        assert (done["results"], "rejected" in done["error"]) == ([], True)
        await erase(thinking, memory_ids=waiting["source_ids"])
        assert holding(dsn.superuser, SECRET) == {}


async def test_what_is_found_later_is_refused_and_its_messages_are_buried(thinking: Replica) -> None:
    await policy(thinking, "refuse")
    submitted = await ask(thinking, wait=False)
    failed = await becomes(thinking, submitted.json()["id"], "FAILED")
    assert "password" in failed["error"]
    assert SECRET not in str(failed)
    assert (await thinking.client.get("/memories", params={"user_id": "ann"})).json()["results"] == []


async def test_messages_that_wait_in_quarantine_are_erased_with_their_memories(thinking: Replica, dsn: Dsn) -> None:
    await policy(thinking, "hold")
    submitted = await ask(thinking, wait=False)
    await becomes(thinking, submitted.json()["id"], "HELD")
    (waiting,) = await held(thinking)
    receipt = (await erase(thinking, memory_ids=waiting["source_ids"]))["receipt"]
    assert receipt["removed"]["postgres"]["held"] == 1
    assert holding(dsn.superuser, SECRET) == {}
    assert "erased" in (await becomes(thinking, submitted.json()["id"], "FAILED"))["error"]


async def test_a_batch_holds_what_is_suspect_and_stores_the_rest(api: Replica, dsn: Dsn) -> None:
    await policy(api, "hold")
    body = {"requests": [{"text": "tea"}, {"text": SUSPECT, "user_id": "ann"}, {"text": "milk"}]}
    answer = await api.client.post("/memories/batch", json=body, headers={"Idempotency-Key": "k"})
    assert answer.status_code == 202, answer.text
    one, two, three = answer.json()["results"]
    assert [e["status"] for e in (one, two, three)] == ["SUCCEEDED", "HELD", "SUCCEEDED"]
    assert two["results"] == []
    assert SECRET not in answer.text
    assert set(holding(dsn.superuser, SECRET)) == {"held"}
    again = await api.client.post("/memories/batch", json=body, headers={"Idempotency-Key": "k"})
    assert again.json() == answer.json()
    (waiting,) = await held(api)
    assert (waiting["id"], waiting["user_id"]) == (two["review_id"], "ann")
    await decide(api, two["review_id"], "release")
    followed = await becomes(api, two["id"], "SUCCEEDED")
    assert [result["memory"] for result in followed["results"]] == [SUSPECT]


async def test_a_batch_is_refused_whole_by_the_fields_at_fault(api: Replica) -> None:
    await policy(api, "refuse")
    answer = await api.client.post("/memories/batch", json={"requests": [{"text": "tea"}, {"text": SUSPECT}]})
    assert (answer.status_code, [e["field"] for e in answer.json()["errors"]]) == (400, ["requests.1.text"])
    assert (await api.client.get("/memories")).json()["results"] == []


async def test_a_batch_of_changes_holds_what_is_suspect_and_makes_the_rest(api: Replica, dsn: Dsn) -> None:
    ids = [(await api.add(text, user_id="ann"))[0]["id"] for text in ("tea", "milk", "bread")]
    changes: list[dict[str, Any]] = [{"memory_id": i, "text": f"new {n}"} for n, i in enumerate(ids)]
    changes[1] = {"memory_id": ids[1], "metadata": {"note": SUSPECT}}

    async def change(*more: dict[str, Any]) -> httpx.Response:
        return await api.client.put("/v1/batch/", json={"memories": [*changes, *more]})

    async def now() -> list[str]:
        return [(await api.client.get(f"/memories/{memory_id}")).json()["memory"] for memory_id in ids]

    await policy(api, "hold")
    nobody = str(uuid4())
    assert (await change({"memory_id": nobody, "text": "x"})).status_code == 404
    assert (await now(), await held(api)) == (["tea", "milk", "bread"], [])
    answer = await change()
    assert answer.status_code == 202, answer.text
    assert answer.json()["message"] == "Successfully updated 2 memories; 1 held for review"
    (kept,) = answer.json()["results"]
    assert (kept["event"], kept["memory_id"]) == ("HELD", ids[1])
    assert [(found["kind"], found["field"]) for found in kept["findings"]] == [("password", "memories.1.metadata.note")]
    assert SECRET not in answer.text
    assert set(holding(dsn.superuser, SECRET)) == {"held"}
    assert await now() == ["new 0", "milk", "new 2"]
    (waiting,) = await held(api)
    assert (waiting["id"], waiting["kind"], waiting["user_id"]) == (kept["review_id"], "update", "ann")
    assert waiting["request"] == {"metadata": {"note": SUSPECT}}
    assert (await decide(api, kept["review_id"], "release"))["memory_ids"] == [ids[1]]
    released = (await api.client.get(f"/memories/{ids[1]}")).json()
    assert (released["memory"], released["metadata"]) == ("milk", {"note": SUSPECT})


async def test_a_batch_of_changes_that_breaks_off_has_neither_changed_nor_held_anything(
    api: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [(await api.add(text))[0]["id"] for text in ("tea", "milk")]
    await policy(api, "hold")
    body = {"memories": [{"memory_id": ids[0], "text": "new"}, {"memory_id": ids[1], "text": SUSPECT}]}
    hold = store.hold

    async def breaks(*arguments: Any) -> Any:
        await hold(*arguments)
        raise DatabaseUnavailable("gone")

    with monkeypatch.context() as patched:
        patched.setattr(store, "hold", breaks)
        assert (await api.client.put("/v1/batch/", json=body)).status_code == 503
    assert (await api.client.get(f"/memories/{ids[0]}")).json()["memory"] == "tea"
    assert await held(api) == []
    assert (await api.client.put("/v1/batch/", json=body)).status_code == 202
    assert (await api.client.get(f"/memories/{ids[0]}")).json()["memory"] == "new"
    assert len(await held(api)) == 1


def _file(*lines: dict[str, Any]) -> str:
    header = {"format": "memsys-export", "version": 1}
    return "\n".join(json.dumps(line) for line in [header, *lines, {"end": True, "versions": len(lines)}])


async def _import(api: Replica, file: str) -> dict[str, Any]:
    answer = await api.client.post("/import", content=file)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_an_import_holds_what_is_suspect_and_stores_the_rest(api: Replica, dsn: Dsn) -> None:
    await policy(api, "hold")
    clean, grown = str(uuid4()), str(uuid4())
    times = [f"2026-05-0{day}T09:00:00Z" for day in (1, 2, 3)]
    history = [
        {"id": grown, "version": n, "user_id": "ann", "memory": said, "recorded_from": at}
        for n, (said, at) in enumerate(zip(["one", SUSPECT, "three"], times, strict=True), 1)
    ]
    file = _file({"id": clean, "memory": "tea"}, *history)
    report = await _import(api, file)
    assert (report["imported"], report["held"], report["failed"], report["complete"]) == (2, 1, 1, True)
    (kept, follows) = report["errors"]
    assert (kept["line"], kept["field"], follows["line"], follows["field"]) == (4, "memory", 5, "version")
    assert set(holding(dsn.superuser, SECRET)) == {"held"}
    (waiting,) = await held(api)
    assert (waiting["id"], waiting["kind"], waiting["memory_id"]) == (kept["review_id"], "import", grown)
    again = await _import(api, file)
    assert (again["imported"], again["unchanged"], again["held"], len(await held(api))) == (0, 2, 1, 1)
    assert (await decide(api, kept["review_id"], "release"))["memory_ids"] == [grown]
    assert (await api.client.get(f"/memories/{grown}")).json()["memory"] == SUSPECT
    last = await _import(api, file)
    assert (last["imported"], last["unchanged"], last["held"], last["failed"]) == (1, 3, 0, 0)
    assert (await api.client.get(f"/memories/{grown}")).json()["memory"] == "three"


async def test_an_import_says_what_a_review_rejected_and_a_policy_refused(api: Replica, dsn: Dsn) -> None:
    await policy(api, "hold")
    file = _file({"id": str(uuid4()), "memory": SUSPECT})
    (kept,) = (await _import(api, file))["errors"]
    await decide(api, kept["review_id"], "reject")
    rejected = await _import(api, file)
    assert (rejected["held"], rejected["failed"], rejected["errors"][0]["review_id"]) == (0, 1, kept["review_id"])
    await policy(api, "refuse")
    refused = await _import(api, file)
    assert (refused["held"], refused["failed"]) == (0, 1)
    assert "password" in refused["errors"][0]["message"]
    assert holding(dsn.superuser, SECRET) == {}


async def test_an_erased_line_is_not_held(api: Replica, dsn: Dsn) -> None:
    await policy(api, "hold")
    await erase(api, user_id="ann")
    report = await _import(api, _file({"id": str(uuid4()), "user_id": "ann", "memory": SUSPECT}))
    assert (report["erased"], report["held"]) == (1, 0)
    assert holding(dsn.superuser, SECRET) == {}


async def test_a_line_that_no_longer_fits_is_not_released(api: Replica) -> None:
    await policy(api, "hold")
    line = {"id": str(uuid4()), "user_id": "ann", "memory": SUSPECT}
    (kept,) = (await _import(api, _file(line)))["errors"]
    await policy(api, "off")
    await _import(api, _file(line | {"memory": "something else"}))
    answer = await api.client.post(f"/quarantine/{kept['review_id']}/release")
    assert answer.status_code == 409
    assert "id" in answer.json()["detail"]
    assert len(await held(api)) == 1


async def test_what_becomes_of_suspect_writes_is_counted(api: Replica) -> None:
    before = {outcome: counted(outcome) for outcome in ("flagged", "held", "refused", "released", "rejected")}
    for mode in ("flag", "refuse", "hold"):
        await policy(api, mode)
        await api.client.post("/memories", json={"text": SUSPECT}, headers={"X-Memsys-Project": "default"})
    await api.client.put("/policy", json={"quarantine": "hold"}, headers={"X-Memsys-Project": "other"})
    await api.client.post("/memories", json={"text": SUSPECT}, headers={"X-Memsys-Project": "other"})
    assert await store.waiting(api.service.database) == 2  # of both projects
    (mine,) = await held(api)
    await decide(api, mine["id"], "reject")
    assert await store.waiting(api.service.database) == 1
    changes = {outcome: counted(outcome) - value for outcome, value in before.items()}
    assert changes == {"flagged": 1, "held": 2, "refused": 1, "released": 0, "rejected": 1}
