from __future__ import annotations

from collections.abc import Callable

import httpx

from memsys_operator.api_client import MemoryAPI
from memsys_operator.sync import Difference, Drift, SyncReport

URL, KEY = "http://m-api.n.svc:8000", "msk_x_y"


NOTHING_DIFFERS = {"checked": 3, "missing": 0, "stale": 0, "unexpected": 0, "complete": True, "samples": []}
COMPARED = SyncReport(available=True, drift=Drift())


async def check(
    answer: Callable[[httpx.Request], httpx.Response], last: SyncReport = COMPARED, *, overdue: bool = False
) -> SyncReport:
    api = MemoryAPI(httpx.MockTransport(answer))
    try:
        return await api.check_graph(URL, KEY, last, overdue=overdue)
    finally:
        await api.aclose()


async def test_a_quiet_graph_is_only_looked_at() -> None:
    asked: list[tuple[str, str, str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append((request.method, request.url.path, request.headers["Authorization"]))
        return httpx.Response(200, json={"available": True, "pending": 1})

    assert await check(answer) == SyncReport(available=True, pending=1, drift=Drift())
    assert asked == [("GET", "/graph/status", f"Bearer {KEY}")]


async def test_parked_memories_are_driven_once_and_looked_at_again() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(f"{request.method} {request.url.path}")
        return httpx.Response(200, json={"available": True, "parked": 0 if len(asked) > 1 else 2})

    assert await check(answer) == COMPARED
    assert asked == ["GET /graph/status", "POST /graph/sync", "GET /graph/status"]


async def test_a_refusal_names_the_path_and_the_status() -> None:
    report = await check(lambda _: httpx.Response(401))
    assert report.error == "the API answers /graph/status with 401"


async def test_an_api_that_is_away_is_a_report_and_no_exception() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    report = await check(answer)
    assert report.error is not None
    assert URL in report.error


async def test_an_answer_that_is_no_comparison_changes_nothing() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"available": True})

    report = await check(answer, overdue=True)
    assert (report, report.compared) == (COMPARED, False)


async def test_an_answer_that_is_no_graph_status_is_said_to_be_none() -> None:
    for body in ("not json", "[]", '{"pending": "many"}'):
        report = await check(lambda _, body=body: httpx.Response(200, text=body))
        assert report.error is not None
        assert "something else" in report.error


class Store:
    """Plays an API whose graph differs in some memories until each is applied again."""

    def __init__(self, *wrong: str) -> None:
        self.wrong = set(wrong)
        self.asked: list[str] = []
        self.refuse: str | None = None
        self.stubborn = False

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path, memory = request.url.path, request.url.params.get("memory_id")
        self.asked.append(f"{request.method} {path}")
        if path == self.refuse:
            return httpx.Response(503)
        if path == "/graph/drift":
            assert 0 < int(request.url.params["limit"]) <= 100_000, "bounded as the API allows"
            samples = [{"project": "p", "memory_id": one, "kind": "stale"} for one in sorted(self.wrong)]
            return httpx.Response(200, json={**NOTHING_DIFFERS, "stale": len(samples), "samples": samples})
        if memory is not None:
            assert request.headers["X-Memsys-Project"] == "p"
            self.wrong -= set() if self.stubborn else {memory}
            return httpx.Response(404 if memory == "gone" else 200, json={})
        return httpx.Response(200, json={"available": True})


def drifted(*memories: str) -> Drift:
    return Drift(len(memories), True, tuple(Difference("p", memory) for memory in memories))


async def test_a_difference_is_reported_before_it_is_mended() -> None:
    store = Store("a", "b")
    found = await check(store, overdue=True)
    assert (found.drift, found.compared) == (drifted("a", "b"), True)
    assert store.asked == ["GET /graph/status", "GET /graph/drift", "GET /graph/drift"]
    mended = await check(store, found)
    assert mended.drift == Drift()
    assert store.wrong == set()


async def test_what_cannot_be_mended_is_tried_once_and_then_only_when_a_comparison_is_due() -> None:
    store = Store("a")
    store.stubborn = True
    found = await check(store, await check(store, overdue=True))
    assert found.drift == Drift(1, True, drifted("a").samples, stuck=True)
    store.asked.clear()
    assert await check(store, found) == found
    assert store.asked == ["GET /graph/status"]
    store.stubborn = False
    assert (await check(store, found, overdue=True)).drift == Drift()


async def test_a_memory_that_is_gone_meanwhile_does_not_stop_the_mending() -> None:
    store = Store("gone", "later")
    assert (await check(store, SyncReport(available=True, drift=drifted("gone", "later")))).drift == Drift()


async def test_a_graph_that_differs_in_nothing_is_read_once() -> None:
    store = Store()
    assert await check(store, overdue=True) == COMPARED
    assert store.asked == ["GET /graph/status", "GET /graph/drift"]


async def test_a_comparison_that_is_refused_leaves_what_is_known_and_is_made_at_the_next_look() -> None:
    store = Store("a")
    store.refuse = "/graph/drift"
    report = await check(store, overdue=True)
    assert (report, report.compared) == (COMPARED, False)
    store.refuse = "/graph/sync"
    known = SyncReport(available=True, drift=drifted("a"))
    assert (await check(store, known)).drift == drifted("a")
