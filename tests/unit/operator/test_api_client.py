from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import httpx

from memsys_operator.api_client import MemoryAPI
from memsys_operator.sync import Difference, Drift, SyncReport, Walk

URL, KEY = "http://m-api.n.svc:8000", "msk_x_y"


NOW, INTERVAL = 10_000, 600
NOTHING_DIFFERS = {"missing": 0, "stale": 0, "unexpected": 0, "strays": 0, "cursor": None, "samples": []}
RESTING = Walk(started=NOW - 1)
COMPARED = SyncReport(available=True, drift=Drift(), walk=RESTING)
CYCLE = Walk(started=NOW, finished=NOW, cycle_seconds=INTERVAL)


async def check(
    answer: Callable[[httpx.Request], httpx.Response], last: SyncReport | None = COMPARED, walk: Walk | None = None
) -> SyncReport:
    api = MemoryAPI(httpx.MockTransport(answer))
    walk = walk or (last.walk if last else Walk())
    try:
        return await api.check_graph(URL, KEY, last, walk, now=NOW, interval=INTERVAL)
    finally:
        await api.aclose()


async def test_a_quiet_graph_is_only_looked_at() -> None:
    asked: list[tuple[str, str, str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append((request.method, request.url.path, request.headers["Authorization"]))
        return httpx.Response(200, json={"available": True, "pending": 1})

    assert await check(answer) == SyncReport(available=True, pending=1, drift=Drift(), walk=RESTING)
    assert asked == [("GET", "/graph/status", f"Bearer {KEY}")]


async def test_parked_memories_are_driven_once_and_looked_at_again() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(f"{request.method} {request.url.path}")
        return httpx.Response(200, json={"available": True, "parked": 0 if len(asked) > 1 else 2})

    assert await check(answer) == COMPARED
    assert asked == ["GET /graph/status", "POST /graph/sync", "GET /graph/status"]


async def test_an_api_that_runs_without_a_graph_tells_nothing_of_the_one_that_it_shall_have() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/graph/status"
        return httpx.Response(200, json={"provider": "none", "available": False, "pending": 0, "parked": 0})

    report = await check(answer)
    assert report.uncompared == "the API still runs without a graph; its newest pods are not ready yet"
    assert not report.available


async def test_a_refusal_names_the_path_and_the_status() -> None:
    report = await check(lambda _: httpx.Response(401))
    assert report.error == "the API answers /graph/status with 401"


async def test_a_refusal_says_what_the_api_says_of_it_bounded_and_in_one_line() -> None:
    report = await check(lambda _: httpx.Response(503, json={"detail": "waiting\nfor PostgreSQL"}))
    assert report.error == "the API answers /graph/status with 503: waiting for PostgreSQL"
    report = await check(lambda _: httpx.Response(503, json={"detail": "x" * 10_000}))
    assert report.error is not None
    assert len(report.error) < 400


async def test_an_api_that_is_away_is_a_report_and_no_exception() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    report = await check(answer)
    assert report.error is not None
    assert URL in report.error


async def test_an_answer_that_is_no_comparison_changes_nothing() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"available": True})

    overdue = SyncReport(available=True, drift=Drift())
    report = await check(answer, overdue)
    assert report.uncompared is not None
    assert "/graph/drift with something else" in report.uncompared
    assert replace(report, uncompared=None) == overdue


async def test_an_answer_that_is_no_graph_status_is_said_to_be_none() -> None:
    for body in ("not json", "[]", '{"pending": "many"}'):
        report = await check(lambda _, body=body: httpx.Response(200, text=body))
        assert report.error is not None
        assert "something else" in report.error


class Store:
    """Plays an API whose graph differs in some memories until each is applied again; ``a/…`` is the first range."""

    def __init__(self, *wrong: str) -> None:
        self.wrong = set(wrong)
        self.asked: list[str] = []
        self.refuse: str | None = None
        self.stubborn = False

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path, params = request.url.path, request.url.params
        self.asked.append(f"{request.method} {path}")
        if path == self.refuse:
            return httpx.Response(503)
        if path == "/graph/drift":
            assert 0 < int(params["ranges"]) <= 200, "bounded as the API allows"
            if params.get("cursor") == "of another release":
                return httpx.Response(400)
            second = params.get("cursor") == "p/b"
            here = sorted(one for one in self.wrong if one.startswith("b") == second)
            samples = [{"project": "p", "memory_id": one.strip("-") or None, "kind": "stale"} for one in here]
            answer = {**NOTHING_DIFFERS, "stale": len(samples), "samples": samples}
            return httpx.Response(200, json={**answer, "cursor": None if second else "p/b"})
        if request.method == "POST":
            memory = params.get("memory_id") or ("-" if params.get("sweep") else "all")
            assert memory == "all" or request.headers["X-Memsys-Project"] == "p"
            self.wrong -= set() if self.stubborn else {memory}
            return httpx.Response(404 if memory == "gone" else 200, json={})
        return httpx.Response(200, json={"available": True})


def drifted(*memories: str, cursor: str | None = "p/b") -> Drift:
    return Drift(len(memories), tuple(Difference("p", memory) for memory in memories), cursor)


async def test_a_difference_is_reported_before_it_is_mended_and_only_then_left_behind() -> None:
    store = Store("a1", "a2")
    found = await check(store, None)
    assert (found.drift, found.walk.cursor) == (drifted("a1", "a2"), None)
    assert store.asked == ["GET /graph/status", "GET /graph/drift", "GET /graph/drift"]
    mended = await check(store, found)
    assert (mended.drift, mended.walk.cursor) == (Drift(), "p/b")
    assert store.wrong == set()


async def test_a_walk_takes_one_step_a_look_and_ends_with_a_cycle() -> None:
    store = Store()
    first = await check(store, None)
    assert first.walk == Walk("p/b", started=NOW)
    assert (await check(store, first)).walk == CYCLE
    assert await check(store, COMPARED) == COMPARED
    assert store.asked.count("GET /graph/drift") == 2


async def test_after_a_restart_in_the_middle_of_a_repair_the_same_differences_are_found_again() -> None:
    store = Store("b1", "b2")
    found = await check(store, None, Walk("p/b", started=NOW))
    store.stubborn = True
    store.refuse = "/graph/sync"  # the operator ends here
    assert (await check(store, found)).walk == found.walk
    store.stubborn, store.refuse = False, None
    again = await check(store, None, found.walk)
    assert again.drift == drifted("b1", "b2", cursor=None)
    assert (await check(store, again)).walk == CYCLE
    assert store.wrong == set()


async def test_what_cannot_be_mended_is_tried_once_a_cycle_and_does_not_hold_the_walk() -> None:
    store = Store("a1")
    store.stubborn = True
    tried = await check(store, await check(store, None))
    assert (tried.drift, tried.walk.cursor, tried.walk.unmended) == (Drift(), "p/b", 1)
    whole = await check(store, tried)
    assert (whole.walk.cursor, whole.walk.stuck) == (None, 1)
    store.stubborn = False
    later = await check(store, None, replace(whole.walk, started=0))
    for _ in range(2):  # what is left to mend, and the rest of the cycle
        later = await check(store, later)
    assert later.walk.unmended == 0


async def test_what_no_memory_supports_is_swept() -> None:
    store = Store("-")
    assert (await check(store, await check(store, None))).drift == Drift()
    assert store.wrong == set()


async def test_a_memory_that_is_gone_meanwhile_does_not_stop_the_mending() -> None:
    store = Store("gone", "later")
    assert (await check(store, SyncReport(available=True, drift=drifted("gone", "later")))).drift == Drift()


async def test_a_comparison_that_is_refused_leaves_what_is_known_and_is_made_at_the_next_look() -> None:
    store = Store("a")
    store.refuse = "/graph/drift"
    overdue = SyncReport(available=True, drift=Drift())
    refused = await check(store, overdue)
    assert refused == replace(overdue, uncompared="the API answers /graph/drift with 503")
    store.refuse = "/graph/sync"
    known = SyncReport(available=True, drift=drifted("a"))
    assert (await check(store, known)).drift == drifted("a")


async def test_a_comparison_that_was_due_because_the_graph_came_back_stays_due_when_it_fails() -> None:
    store = Store()
    store.refuse = "/graph/drift"
    first = await check(store, SyncReport(available=False, walk=RESTING), RESTING)
    assert first.uncompared is not None
    store.refuse = None
    assert (await check(store, first)).uncompared is None
    assert store.asked.count("GET /graph/drift") == 2


async def test_a_cursor_that_the_api_does_not_know_begins_the_cycle_anew() -> None:
    store = Store()
    assert (await check(store, None, Walk("of another release", started=5))).walk == Walk(started=5)
