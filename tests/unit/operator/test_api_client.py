from __future__ import annotations

from collections.abc import Callable

import httpx

from memsys_operator.api_client import MemoryAPI
from memsys_operator.sync import SyncReport

URL, KEY = "http://m-api.n.svc:8000", "msk_x_y"


async def check(answer: Callable[[httpx.Request], httpx.Response]) -> SyncReport:
    api = MemoryAPI(httpx.MockTransport(answer))
    try:
        return await api.check_graph(URL, KEY)
    finally:
        await api.aclose()


async def test_a_quiet_graph_is_only_looked_at() -> None:
    asked: list[tuple[str, str, str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append((request.method, request.url.path, request.headers["Authorization"]))
        return httpx.Response(200, json={"available": True, "pending": 1})

    assert await check(answer) == SyncReport(available=True, pending=1)
    assert asked == [("GET", "/graph/status", f"Bearer {KEY}")]


async def test_parked_memories_are_driven_once_and_looked_at_again() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(f"{request.method} {request.url.path}")
        return httpx.Response(200, json={"available": True, "parked": 0 if len(asked) > 1 else 2})

    assert await check(answer) == SyncReport(available=True)
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


async def test_an_answer_that_is_no_graph_status_is_said_to_be_none() -> None:
    for body in ("not json", "[]", '{"pending": "many"}'):
        report = await check(lambda _, body=body: httpx.Response(200, text=body))
        assert report.error is not None
        assert "something else" in report.error
