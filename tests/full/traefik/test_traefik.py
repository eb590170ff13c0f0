"""What the operator makes of ``spec.expose``, through a real controller in front of real pods."""

from __future__ import annotations

import asyncio
import ssl

import fastmcp
import httpx
import pytest

from tests.integration.ingress.conftest import WayIn
from tests.integration.ingress.test_clients import (
    test_claude_code_connects_over_http_and_sse,
    test_the_inspector_lists_and_calls_every_tool,
    test_the_official_typescript_sdk_runs_a_whole_session,
    test_the_python_clients_run_a_whole_session,
)
from tests.integration.ingress.test_the_way_in import INITIALIZE, client_of, status, the_endpoint
from tests.integration.mcp.clients import Session, Target, sse

from .controller import TIMEOUT_SECONDS

__all__ = [
    "test_claude_code_connects_over_http_and_sse",
    "test_the_inspector_lists_and_calls_every_tool",
    "test_the_official_typescript_sdk_runs_a_whole_session",
    "test_the_python_clients_run_a_whole_session",
]

#: Several messages each: by turns, the one after a message that found the right replica finds the other.
SESSIONS, MESSAGES = 5, 3


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/readyz", "/"])
async def test_of_the_mcp_server_only_its_transports_are_reached(way_in: WayIn, path: str) -> None:
    assert await status(way_in, way_in.mcp_url + path) == 404


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/readyz"])
async def test_of_the_api_nothing_is_reached_that_asks_for_no_key(way_in: WayIn, target: Target, path: str) -> None:
    assert await status(way_in, way_in.api_url + path) == 404
    assert await status(way_in, f"{way_in.api_url}/info", Authorization=f"Bearer {target.key}") == 200


async def test_whom_the_certificate_does_not_convince_gets_nothing(way_in: WayIn) -> None:
    transport = httpx.AsyncHTTPTransport(verify=ssl.create_default_context(), proxy=way_in.proxy)
    async with httpx.AsyncClient(transport=transport) as client:
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await client.get(f"{way_in.mcp_url}/mcp")


async def test_a_silent_stream_outlives_every_time_out_of_the_controller(target: Target) -> None:
    async with fastmcp.Client(sse(target)) as client:
        assert not (await Session(client).call("add_memory", text="before")).is_error
        await asyncio.sleep(4 * TIMEOUT_SECONDS)  # the silence is what is tested
        listed = await Session(client).call("list_memories")
        assert [item["memory"] for item in listed.data["results"]] == ["before"]


async def answers(way_in: WayIn, target: Target) -> set[int]:
    """What the first messages of several sessions of SSE are told."""
    found = set()
    for _ in range(SESSIONS):
        async with (
            client_of(way_in, headers=target.headers) as listening,
            client_of(way_in, headers=target.headers) as sending,
            listening.stream("GET", f"{way_in.mcp_url}/p/{target.project}/sse") as stream,
        ):
            assert stream.status_code == 200
            lines = stream.aiter_lines()
            url = way_in.mcp_url + await the_endpoint(lines)
            for _ in range(MESSAGES):
                found.add((await sending.post(url, json=INITIALIZE)).status_code)
    return found


async def test_a_client_of_sse_stays_with_its_replica_without_a_cookie(way_in: WayIn, target: Target) -> None:
    assert await answers(way_in, target) == {202}
