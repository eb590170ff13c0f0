"""Which names are one entity, and questions about how entities hang together."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from .conftest import Dsn, MakeKey, Replica
from .support.graph_queue import settled
from .support.parts import MemorySink


@pytest.fixture
async def told(graphed: Replica) -> Replica:
    """A project that knows some people. Bob and Robert are the same one."""
    for text in (
        "Anna Keller works at Acme Corp.",
        "Bob Stone works at Acme Corp.",
        "Robert Stone lives in Lisbon.",
        "Carla Diaz lives in Lisbon.",
    ):
        await graphed.add(text, user_id="u")
    await settled(graphed)
    return graphed


async def _ask(api: Replica, path: str, **params: Any) -> dict[str, Any]:
    answer = await api.client.get(path, params=params)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def _merge(api: Replica, source: str, into: str) -> dict[str, Any]:
    answer = await api.client.post("/entities/merge", json={"from": source, "into": into})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def _keys_in(sink: MemorySink | None) -> set[str]:
    assert sink is not None
    return {e.key for record in sink.held.values() for e in record.extraction.entities}


async def test_entities_are_listed_in_pages(told: Replica) -> None:
    listed = await _ask(told, "/entities")
    keys = [one["key"] for one in listed["results"]]
    assert keys == sorted(keys)
    assert {"anna keller", "bob stone", "acme corp", "lisbon"} <= set(keys)
    acme = next(one for one in listed["results"] if one["key"] == "acme corp")
    assert (acme["memories"], acme["aliases"]) == (2, [])
    paged, cursor = [], None
    while True:
        page = await _ask(told, "/entities", limit=2, **({"cursor": cursor} if cursor else {}))
        paged += [one["key"] for one in page["results"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert paged == keys
    assert [one["key"] for one in (await _ask(told, "/entities", query="STONE"))["results"]] == [
        "bob stone",
        "robert stone",
    ]
    assert (await _ask(told, "/entities", user_id="somebody else"))["results"] == []


async def test_a_merge_shows_everywhere_and_goes_without_a_trace(told: Replica) -> None:
    before = {memory: record.extraction for memory, record in told.sink.held.items()} if told.sink else {}
    assert (await _merge(told, "Bob Stone", "robert stone"))["memories"] == 1
    await settled(told)
    assert "bob stone" not in _keys_in(told.sink)
    [robert] = (await _ask(told, "/entities", query="stone"))["results"]
    assert (robert["key"], robert["aliases"], robert["memories"]) == ("robert stone", ["bob stone"], 2)
    around = await _ask(told, "/graph/entities/Bob Stone/neighbours")
    assert around["entity"]["key"] == "robert stone"
    assert {one["key"] for one in around["results"]} == {"acme corp", "lisbon"}
    undone = await told.client.post("/entities/unmerge", json={"from": "BOB STONE"})
    assert undone.json()["into"] == "robert stone"
    await settled(told)
    assert told.sink
    assert {memory: record.extraction for memory, record in told.sink.held.items()} == before
    around = await _ask(told, "/graph/entities/bob stone/neighbours")
    assert [one["key"] for one in around["results"]] == ["acme corp"]


async def test_what_is_said_after_a_merge_is_said_of_the_entity_that_stays(told: Replica) -> None:
    await _merge(told, "bob stone", "robert stone")
    [added] = await told.add("Bob Stone works at Initech.", user_id="u")
    await settled(told)
    assert told.sink
    relations = told.sink.held["default", UUID(added["id"])].extraction.relations
    assert [relation.subject for relation in relations] == ["robert stone"]


async def test_an_entity_is_found_by_the_names_that_were_merged_into_it(told: Replica) -> None:
    await _merge(told, "bob stone", "robert stone")
    await _merge(told, "robert stone", "carla diaz")
    for narrow in ({}, {"user_id": "u"}):
        for name in ("Bob", "robert", "carla"):
            found = (await _ask(told, "/entities", query=name, **narrow))["results"]
            assert [one["key"] for one in found] == ["carla diaz"]
        assert (await _ask(told, "/entities", query="bob", cursor="carla diaz", **narrow))["results"] == []
    await told.client.post("/entities/unmerge", json={"from": "robert stone"})
    assert [one["key"] for one in (await _ask(told, "/entities", query="bob"))["results"]] == ["robert stone"]


async def test_merges_of_merged_ones_follow_to_the_end_and_come_apart_one_by_one(told: Replica) -> None:
    await _merge(told, "bob stone", "robert stone")
    await _merge(told, "robert stone", "carla diaz")
    await settled(told)
    assert {"bob stone", "robert stone"}.isdisjoint(_keys_in(told.sink))
    await told.client.post("/entities/unmerge", json={"from": "robert stone"})
    await settled(told)
    assert "bob stone" not in _keys_in(told.sink)
    assert {"robert stone", "carla diaz"} <= _keys_in(told.sink)


@pytest.mark.parametrize(
    ("source", "into", "status", "field"),
    [
        ("nobody", "lisbon", 404, "from"),
        ("lisbon", "nobody", 404, "into"),
        ("lisbon", "LISBON", 400, "into"),
        ("...", "lisbon", 400, "from"),
        ("bob stone", "carla diaz", 400, "from"),
        ("robert stone", "bob stone", 400, "into"),
    ],
)
async def test_a_merge_that_cannot_be_names_the_field(
    told: Replica, source: str, into: str, status: int, field: str
) -> None:
    await _merge(told, "bob stone", "robert stone")
    answer = await told.client.post("/entities/merge", json={"from": source, "into": into})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (status, field)


async def test_paths_lead_over_what_two_memories_state(told: Replica) -> None:
    found = await _ask(told, "/graph/paths", **{"from": "anna keller", "to": "carla diaz"})
    assert (found["results"], found["complete"]) == ([], True)
    await _merge(told, "bob stone", "robert stone")
    found = await _ask(told, "/graph/paths", **{"from": "anna keller", "to": "carla diaz"})
    [path] = found["results"]
    assert [one["key"] for one in path] == ["anna keller", "acme corp", "robert stone", "lisbon", "carla diaz"]
    assert len(found["statements"]) == 4
    assert all(one["memory_id"] and one["recorded_from"] for one in found["statements"])
    short = await _ask(told, "/graph/paths", **{"from": "anna keller", "to": "carla diaz", "depth": 3})
    assert short["results"] == []


async def test_a_question_about_the_past_is_answered_from_the_past(told: Replica) -> None:
    [added] = await told.add("Dora Lund lives in Oslo.", user_id="u")
    await told.client.put(f"/memories/{added['id']}", json={"text": "Dora Lund lives in Rome."})
    entries = (await told.client.get(f"/memories/{added['id']}/history")).json()
    first = entries[0]["created_at"] if isinstance(entries, list) else entries["results"][0]["created_at"]

    async def homes(**when: str) -> set[str]:
        around = await _ask(told, "/graph/entities/dora lund/neighbours", **when)
        return {one["key"] for one in around["results"]}

    assert await homes() == {"rome"}
    assert await homes(as_of=first) == {"oslo"}
    line = await _ask(told, "/graph/entities/dora lund/timeline")
    assert [(one["object"], one["recorded_to"] is None) for one in line["statements"]] == [
        ("rome", True),
        ("oslo", False),
    ]
    assert [one["memory"] for one in line["memories"]] == ["Dora Lund lives in Rome."]
    then = await _ask(told, "/graph/entities/dora lund/timeline", as_of=first)
    assert [(one["object"], one["recorded_to"]) for one in then["statements"]] == [("oslo", None)]
    await told.client.delete(f"/memories/{added['id']}")
    assert (await told.client.get("/graph/entities/dora lund/neighbours")).status_code == 404
    assert await homes(as_of=first) == {"oslo"}  # a deletion keeps the past; an erasure does not
    assert (
        await told.client.get("/graph/entities/dora lund/timeline", params={"as_of": "yesterday"})
    ).status_code == 400


async def test_a_merge_after_the_clock_is_set_back_leaves_the_past_without_a_circle(told: Replica, dsn: Dsn) -> None:
    """As after a failover to a server whose clock is behind: what had ended seems to end later than the next begins."""
    await _merge(told, "bob stone", "robert stone")
    await told.client.post("/entities/unmerge", json={"from": "bob stone"})
    with psycopg.connect(dsn.superuser) as conn:
        conn.execute("UPDATE merges SET reverted_at = reverted_at + interval '1 hour'")
    await _merge(told, "robert stone", "bob stone")
    then = (datetime.now(UTC) + timedelta(minutes=30)).isoformat()
    found = await _ask(told, "/graph/entities/bob stone/timeline", as_of=then)
    assert found["entity"]["key"] == "robert stone"
    assert (await _ask(told, "/graph/entities/robert stone/timeline"))["entity"]["key"] == "bob stone"


async def test_what_does_not_hold_in_the_world_yet_is_left_out(told: Replica) -> None:
    said = datetime(2026, 5, 1, tzinfo=UTC)
    await told.add("Emil Berg works at Globex.", user_id="u", timestamp=said.isoformat())
    path = "/graph/entities/emil berg/neighbours"
    assert [one["key"] for one in (await _ask(told, path, valid_at="2026-06-01T00:00:00Z"))["results"]] == ["globex"]
    assert (await _ask(told, path, valid_at="2026-04-01T00:00:00Z"))["results"] == []


async def test_a_key_for_one_user_sees_that_users_graph_alone(told: Replica) -> None:
    await told.add("Anna Keller lives in Bergen.", user_id="v")
    made = await told.client.post(
        "/keys", json={"name": "v", "projects": ["default"], "user_id": "v", "rights": ["read", "write"]}
    )
    async with told.as_key(made.json()["key"]) as client:
        around = (await client.get("/graph/entities/anna keller/neighbours", params={"depth": 4})).json()
        assert [one["key"] for one in around["results"]] == ["bergen"]
        assert {one["key"] for one in (await client.get("/entities")).json()["results"]} == {"anna keller", "bergen"}
        line = (await client.get("/graph/entities/anna keller/timeline")).json()
        assert [one["memory"] for one in line["memories"]] == ["Anna Keller lives in Bergen."]
        for path in ("/graph/entities/acme corp/neighbours", "/graph/entities/never heard of/neighbours"):
            assert (await client.get(path)).status_code == 404
        refused = await client.post("/entities/merge", json={"from": "anna keller", "into": "bergen"})
        assert refused.status_code == 403
    both = await _ask(told, "/graph/entities/anna keller/neighbours")
    assert {one["key"] for one in both["results"]} == {"bergen", "acme corp"}


async def test_a_narrow_key_is_shown_no_name_that_only_others_memories_mention(told: Replica, keyed: MakeKey) -> None:
    await told.add("Kurt Falk lives in Bergen.", user_id="v")
    await _merge(told, "kurt falk", "bob stone")
    await _merge(told, "bob stone", "robert stone")
    hers, his = ["bob stone", "robert stone"], ["kurt falk"]
    async with keyed(user_id="u", rights=["read"]) as ours, keyed(user_id="v", rights=["read"]) as theirs:
        for client, names, foreign, other in ((ours, hers, his, "lisbon"), (theirs, his, hers, "bergen")):
            listed = (await client.get("/entities")).json()["results"]
            [one] = [e for e in listed if e["key"] in names]
            assert (one["key"], sorted([one["key"], *one["aliases"]])) == (names[-1], names)
            for name in names:
                path = f"/graph/entities/{name}"
                around = (await client.get(f"{path}/neighbours")).json()
                line = (await client.get(f"{path}/timeline")).json()
                way = (await client.get("/graph/paths", params={"from": name, "to": other})).json()
                assert around["entity"] == line["entity"] == way["results"][0][0]
                assert around["entity"]["key"] == names[-1]
                for found in (around, line, way):
                    assert found["statements"]
                    ends = {end for each in found["statements"] for end in (each["subject"], each["object"])}
                    assert names[-1] in ends
                    assert not ends & set(foreign)
            for name in foreign:
                for path in (f"/graph/entities/{name}/timeline", f"/graph/paths?from={name}&to={other}"):
                    assert (await client.get(path)).status_code == 404
                assert (await client.get("/entities", params={"query": name})).json()["results"] == []
    both = await _ask(told, "/graph/entities/kurt falk/timeline")
    assert both["entity"]["key"] == "robert stone"
    assert {one["subject"] for one in both["statements"]} == {"robert stone"}


async def test_the_graph_need_not_answer_nor_be_there(told: Replica, api: Replica) -> None:
    assert told.sink
    told.sink.away = True
    assert (await _ask(told, "/graph/entities/bob stone/neighbours"))["results"]
    await api.add("Finn Holm works at Umbrella Inc.")
    assert (await _merge(api, "finn holm", "umbrella inc"))["memories"] == 0
    assert (await _ask(api, "/graph/entities/finn holm/timeline"))["memories"]


async def test_bounds_say_that_they_were_met(told: Replica) -> None:
    around = await _ask(told, "/graph/entities/lisbon/neighbours", limit=1)
    assert (len(around["results"]), around["complete"]) == (1, False)
    assert (await _ask(told, "/graph/entities/lisbon/neighbours"))["complete"] is True
    assert (await told.client.get("/graph/entities/lisbon/neighbours", params={"depth": 9})).status_code == 400


async def test_a_name_is_one_entity_in_every_form_of_unicode(api: Replica) -> None:
    """As typed (NFC), and as macOS and PDFs give it (NFD)."""
    said = "José García works at Zoë Müller GmbH."
    for form in ("NFC", "NFD"):
        await api.add(unicodedata.normalize(form, said), user_id=form)
    listed = {one["key"]: one["memories"] for one in (await _ask(api, "/entities"))["results"]}
    assert listed == {"josé garcía": 2, "zoë müller gmbh": 2}
    for form in ("NFC", "NFD"):
        asked = unicodedata.normalize(form, "José García")
        line = await _ask(api, f"/graph/entities/{asked}/timeline", user_id="NFD")
        assert line["entity"]["name"] == "José García"
        assert [one["memory"] for one in line["memories"]] == [unicodedata.normalize("NFD", said)]
        assert [(one["predicate"], one["object"]) for one in line["statements"]] == [("works_at", "zoë müller gmbh")]
        found = await _ask(api, "/entities", query=unicodedata.normalize(form, "GARCÍA"))
        assert [one["key"] for one in found["results"]] == ["josé garcía"]
