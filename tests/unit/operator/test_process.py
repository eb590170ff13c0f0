"""The operator's process, against an apiserver that does not always serve."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from .apiserver import apiserver, operator

SYSTEMS = "/apis/memsys.dev/v1alpha1/memorysystems"
#: Kopf gives up after nine.
MANY = 12


async def until(what: str, look: Callable[[], bool | Awaitable[bool]], within: float = 60) -> None:
    async def watch() -> None:
        while True:
            seen = look()
            if seen if isinstance(seen, bool) else await seen:
                return
            await asyncio.sleep(0.05)

    try:
        await asyncio.wait_for(watch(), within)
    except TimeoutError:
        raise AssertionError(f"not within {within:g} s: {what}") from None


async def test_an_apiserver_that_fails_for_long_is_waited_for_and_the_work_goes_on(tmp_path: Path) -> None:
    async with apiserver() as (server, port), operator(port, tmp_path, MEMSYS_RESYNC_SECONDS="0.2") as process:

        async def ready() -> bool:
            return await process.get("/readyz") == 200

        await until("it is ready", ready)
        await until("it watches", lambda: server.watched[SYSTEMS] > 0)
        server.fail(lambda _: 503)
        tries = ("/api/v1/pods", "/apis/apps/v1/deployments", "/apis/memsys.dev/v1alpha1/memorykeys")
        await until("many tries", lambda: min(server.refused[path] for path in tries) >= MANY)
        assert await process.get("/healthz") == 200, process.log()
        server.fail(lambda _: 0)
        server.add("n", "late")
        await until("what came meanwhile is looked at", lambda: ("n", "late") in server.statuses)
        await until("it watches again", lambda: all(server.watched[path] for path in (*tries, SYSTEMS)))
        assert (await process.get("/healthz"), await process.get("/readyz")) == (200, 200)
        assert await process.end(within=20) == 0, process.log()
        log = process.log()
        assert "Request attempt #1 failed; will retry" in log
        assert "attempt #2" not in log, "the same words at each try"


async def test_one_namespace_that_is_forbidden_costs_the_others_nothing(tmp_path: Path) -> None:
    env = {"MEMSYS_RESYNC_SECONDS": "0.2", "MEMSYS_WATCH_NAMESPACES": "team-a,team-b"}
    async with apiserver() as (server, port), operator(port, tmp_path, **env) as process:
        server.fail(lambda path: 403 if "/namespaces/team-b/" in path else 0)
        for namespace in ("team-a", "team-b"):
            server.add(namespace, "m")
        await until("the one is looked at", lambda: ("team-a", "m") in server.statuses)
        pods = "/api/v1/namespaces/team-b/pods"
        await until("many tries", lambda: server.refused[pods] >= MANY)
        server.add("team-a", "later")
        await until("it goes on", lambda: ("team-a", "later") in server.statuses)
        assert (await process.get("/healthz"), await process.get("/readyz")) == (200, 200), process.log()
        assert process.log().count("namespace team-b is passed over") == 1
        server.fail(lambda _: 0)
        await until("the other is looked at", lambda: ("team-b", "m") in server.statuses)
        await until("it is watched", lambda: server.watched[pods] > 0)


async def test_it_ends_while_the_apiserver_fails(tmp_path: Path) -> None:
    async with apiserver() as (server, port), operator(port, tmp_path, MEMSYS_RESYNC_SECONDS="0.2") as process:
        await until("it watches", lambda: server.watched[SYSTEMS] > 0)
        server.fail(lambda _: 503)
        await until("tries", lambda: server.refused["/api/v1/pods"] > 1)
        assert await process.end(within=20) == 0, process.log()


async def test_it_ends_where_it_can_watch_no_more_so_that_it_is_started_anew(tmp_path: Path) -> None:
    """Kopf then waits for its other watches, some of which are between two tries and never end."""
    async with apiserver() as (server, port), operator(port, tmp_path) as process:
        await until("it watches", lambda: server.watched[SYSTEMS] > 0)
        server.fail(lambda path: 404 if path.endswith("/memorykeys") else 503)
        assert await process.ended(within=60) != 0, process.log()
