"""Searching over HTTP, on real PostgreSQL."""

from __future__ import annotations

import random
import time
import unicodedata
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from .conftest import Dsn, Fleet, Replica
from .support.parts import MemorySink

FACTS = [
    "Alice drinks green tea every morning",
    "Bob repairs old motorcycles in his garage",
    "The quarterly report is due on Friday",
    "Carol keeps three bees' nests on the roof",
    "The wifi password changes on Mondays",
]


async def _remember(api: Replica, **scope: str) -> dict[str, str]:
    return {fact: (await api.add(fact, **scope))[0]["id"] for fact in FACTS}


async def test_a_question_finds_the_fact_that_answers_it(api: Replica) -> None:
    ids = await _remember(api, user_id="u")
    for question, fact in (
        ("what does Alice drink in the morning?", FACTS[0]),
        ("who repairs motorcycles", FACTS[1]),
        ("when is the report due", FACTS[2]),
    ):
        results = await api.search(question, user_id="u")
        assert results[0]["id"] == ids[fact], question
        assert {"vector", "text"} & set(results[0]["source"])
        scores = [r["score"] for r in results]
        assert scores == sorted(scores, reverse=True)
        assert all(0 <= s <= 1 for s in scores)


async def test_a_memory_is_the_first_that_its_own_words_find(api: Replica) -> None:
    """However much else says nearly the same, in conversations that are all about it."""
    people, places = ("Anna Lindqvist", "Bo Nakamura", "Carla Mendes"), ("Lisbon", "Tartu", "Osaka")
    draw = random.Random(3)
    told = [f"{draw.choice(people)} met us in {draw.choice(places)} about matter x{n}z" for n in range(40)]
    for first in range(0, 36, 3):
        await api.add([{"role": "user", "content": text} for text in told[first : first + 3]], user_id="u")
    for text in told[36:]:
        await api.add(text, user_id="u")
    best = {text: (await api.search(text, user_id="u"))[0]["memory"] for text in told}
    assert best == {text: text for text in told}


async def test_one_shared_word_in_another_form_is_enough(api: Replica) -> None:
    ids = await _remember(api)
    best = (await api.search("repairing something unheard of entirely"))[0]
    assert best["id"] == ids[FACTS[1]]
    assert "text" in best["source"]


@pytest.mark.parametrize(
    "query", ["the of and", "!!!", "'; DROP TABLE memory_versions; --", "a\\b & | ! ( ) : *", "茶"]
)
async def test_any_query_is_only_words(api: Replica, query: str) -> None:
    await _remember(api)
    await api.search(query)
    assert len((await api.client.get("/memories")).json()["results"]) == len(FACTS)


async def test_top_k_and_threshold_limit_the_answer(api: Replica) -> None:
    await _remember(api)
    assert len(await api.search("Alice tea", top_k=2)) == 2
    everything = await api.search("Alice tea")
    kept = await api.search("Alice tea", threshold=everything[0]["score"])
    assert [r["id"] for r in kept] == [everything[0]["id"]]


async def test_explain_says_what_a_score_is_made_of(api: Replica) -> None:
    await _remember(api)
    [explained] = await api.search("Alice tea", top_k=1, explain=True)
    assert sum(explained["score_parts"].values()) == pytest.approx(explained["score"], abs=1e-6)
    [plain] = await api.search("Alice tea", top_k=1)
    assert "score_parts" not in plain


@pytest.mark.parametrize("field", ["user_id", "agent_id", "app_id", "run_id"])
async def test_a_search_stays_inside_its_scope(api: Replica, field: str) -> None:
    await api.add("green tea", **{field: "x"})
    await api.add("green tea", **{field: "y"})
    assert [r[field] for r in await api.search("green tea", **{field: "x"})] == ["x"]
    assert [r[field] for r in await api.search("green tea", filters={field: "y"})] == ["y"]
    assert len(await api.search("green tea")) == 2


async def test_projects_do_not_see_each_other(api: Replica) -> None:
    await api.add("green tea")
    answer = await api.client.post("/search", json={"query": "green tea"}, headers={"X-Memsys-Project": "other"})
    assert answer.json()["results"] == []


async def test_metadata_filters_need_every_field_to_equal(api: Replica) -> None:
    await api.add("tea one", metadata={"kind": "drink", "hot": True, "cups": 2})
    await api.add("tea two", metadata={"kind": "drink", "hot": False, "cups": 2})
    await api.add("tea three", metadata={"kind": ["drink"]})
    found = await api.search("tea", filters={"kind": "drink", "hot": True})
    assert [r["memory"] for r in found] == ["tea one"]
    assert {r["memory"] for r in await api.search("tea", filters={"cups": 2})} == {"tea one", "tea two"}
    assert await api.search("tea", filters={"cups": "2"}) == []


async def test_as_of_searches_what_was_known_then(api: Replica) -> None:
    [added] = await api.add("the office is in Porto")
    path = f"/memories/{added['id']}"
    first = (await api.client.get(path)).json()["updated_at"]
    second = (await api.client.put(path, json={"text": "the office is in Lisbon"})).json()["updated_at"]
    await api.client.delete(path)
    assert await api.search("where is the office") == []
    assert [r["memory"] for r in await api.search("office", as_of=first)] == ["the office is in Porto"]
    assert [r["memory"] for r in await api.search("office", as_of=second)] == ["the office is in Lisbon"]
    assert await api.search("office", as_of=datetime(2001, 1, 1, tzinfo=UTC).isoformat()) == []


async def test_an_update_is_found_by_its_new_words_alone(api: Replica) -> None:
    [added] = await api.add("Dana plays the violin", user_id="u")
    await _remember(api, user_id="u")
    await api.client.put(f"/memories/{added['id']}", json={"text": "Dana plays the accordion"})
    best = (await api.search("accordion", user_id="u", explain=True))[0]
    assert best["memory"] == "Dana plays the accordion"
    assert [r["memory"] for r in await api.search("Dana violin", user_id="u")].count("Dana plays the violin") == 0


async def test_the_graph_adds_memories_of_the_scope_and_nothing_else(graphed: Replica) -> None:
    assert graphed.sink
    ids = await _remember(graphed, user_id="u")
    [foreign] = await graphed.add("somebody else's secret", user_id="v")
    graphed.sink.answers = [(UUID(ids[FACTS[4]]), 1.0), (UUID(foreign["id"]), 1.0), (uuid4(), 1.0)]
    results = await graphed.search("What of Alice?", user_id="u")
    by_id = {r["id"]: r for r in results}
    assert "graph" in by_id[ids[FACTS[4]]]["source"]
    assert foreign["id"] not in by_id


async def test_a_search_does_not_wait_for_a_slow_or_absent_graph(fleet: Fleet) -> None:
    sink = MemorySink()
    async with fleet.replica(sink=sink, GRAPH_SEARCH_TIMEOUT_SECONDS=0.1) as api:
        await _remember(api)
        sink.slow = 30
        begun = time.monotonic()
        assert await api.search("What does Alice drink?")
        assert time.monotonic() - begun < 5
        sink.away = True
        assert await api.search("What does Alice drink?")
        metrics = (await api.client.get("/metrics")).text
        assert 'memsys_api_graph_searches_total{outcome="failed"}' in metrics


async def test_neighbours_in_a_run_come_with_what_was_found(api: Replica) -> None:
    turns = [
        {"role": "user", "content": text}
        for text in ("Shall we eat?", "Where is the ramen place?", "Round the corner.")
    ]
    await api.add(turns, user_id="u", run_id="dinner")
    for n in range(150):  # more than the pool of either list
        await api.add(f"filler sentence {n} about ramen place", user_id="u", run_id="other")
    results = await api.search("Where is the ramen place?", user_id="u", top_k=1000)
    assert "Round the corner." in [r["memory"] for r in results]


async def test_exact_and_approximate_agree_on_what_is_nearest(fleet: Fleet) -> None:
    async with fleet.replica() as exact:
        await _remember(exact, user_id="u")
        expected = [r["id"] for r in await exact.search("what does Alice drink", user_id="u", top_k=3)]
        async with fleet.replica(VECTOR_INDEX="hnsw", embedder=exact.embedder) as approximate:
            found = [r["id"] for r in await approximate.search("what does Alice drink", user_id="u", top_k=3)]
    assert found == expected


@pytest.mark.parametrize("index", ["auto", "hnsw"])
async def test_a_text_is_found_and_finds_in_every_form_of_unicode(fleet: Fleet, index: str) -> None:
    """As typed (NFC), and as macOS and PDFs give it (NFD); it is answered as it was sent."""
    said = "Zoë Müller met Renée Dubois in Besançon"
    async with fleet.replica(VECTOR_INDEX=index) as api:
        found: dict[tuple[str, str], Any] = {}
        for stored in ("NFC", "NFD"):
            for text in (said, *FACTS):
                turn = {"role": "user", "content": unicodedata.normalize(stored, text)}
                await api.add([turn], user_id=stored, infer=False)
            for asked in ("NFC", "NFD"):
                for query in (said, "Renée Dubois"):
                    best, *_ = await api.search(unicodedata.normalize(asked, query), user_id=stored, explain=True)
                    assert best["memory"] == unicodedata.normalize(stored, said)
                    assert ("same" in best["score_parts"]) == (query == said)
                    found.setdefault((query, "text"), best["score_parts"]["text"])
                    found.setdefault((query, "score"), best["score"])
                    assert best["score_parts"]["text"] == found[query, "text"], (stored, asked, query)
                    assert best["score"] == pytest.approx(found[query, "score"], abs=1e-3), (stored, asked, query)
    assert found["Renée Dubois", "text"] > 0.15


async def test_an_update_is_found_in_every_form_of_unicode(api: Replica) -> None:
    [added] = await api.add("somebody called", user_id="u")
    await api.client.put(f"/memories/{added['id']}", json={"text": unicodedata.normalize("NFD", "Renée called")})
    best = (await api.search("Renée", user_id="u", explain=True))[0]
    assert best["score_parts"]["text"] > 0


async def test_words_that_an_earlier_release_took_apart_are_made_anew_with_the_next_version(
    api: Replica, dsn: Dsn
) -> None:
    [added] = await api.add(unicodedata.normalize("NFD", "Renée called"), user_id="u")
    with psycopg.connect(dsn.superuser) as conn:
        conn.execute("UPDATE memory_versions SET lexemes = to_tsvector('english', text)")
    assert "text" not in (await api.search("Renée", user_id="u", explain=True))[0]["score_parts"]
    await api.client.put(f"/memories/{added['id']}", json={"metadata": {"kind": "call"}})
    assert "text" in (await api.search("Renée", user_id="u", explain=True))[0]["score_parts"]


async def test_a_heap_of_marks_holds_nobody_up(api: Replica) -> None:
    """Sorting them takes Python seconds, and PostgreSQL half a minute."""
    heap = "a" + "\u0301" * 15_990 + "\u0316" * 15_990
    started = time.monotonic()
    await api.add(heap, user_id="u", infer=False)
    best = (await api.search(heap, user_id="u"))[0]
    assert best["memory"] == heap
    assert time.monotonic() - started < 5
