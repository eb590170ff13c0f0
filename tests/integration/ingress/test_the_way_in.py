"""What the way in lets through, to whom, and for how long."""

from __future__ import annotations

import asyncio
import copy
import socket
import ssl
from collections.abc import AsyncIterator
from typing import Any

import fastmcp
import httpx
import pytest
from fastmcp.client.transports import SSETransport

from tests.support.ingress_controller import SERVED_BY

from ..mcp.clients import Session, Target
from ..mcp.processes import Process
from .conftest import API_HOST, DEFAULT_TIMEOUT, MCP_HOST, WAYS, Opener, WayIn, exposed, made

#: Three times what the controller grants where an object says nothing.
SILENCE = 3 * float(DEFAULT_TIMEOUT.removesuffix("s"))
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}},
}
ACCEPT = {"Accept": "application/json, text/event-stream"}


def client_of(way_in: WayIn, **more: Any) -> httpx.AsyncClient:
    """A client that trusts the test's authority and goes through the proxy."""
    context = ssl.create_default_context(cafile=str(way_in.ca))
    transport = httpx.AsyncHTTPTransport(verify=context, proxy=way_in.proxy)
    return httpx.AsyncClient(transport=transport, timeout=20, **more)


async def status(way_in: WayIn, url: str, **headers: str) -> int:
    async with client_of(way_in) as client:
        return (await client.get(url, headers=headers)).status_code


def inside(process: Process, path: str) -> bool:
    """Whether it is served to those who reach the process itself."""
    return httpx.get(process.url + path).is_success


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/readyz", "/", "/mcpx", "/p2/alpha/mcp"])
async def test_of_the_mcp_server_only_its_transports_are_reached(way_in: WayIn, replicas: list[Process], path: str):
    assert await status(way_in, way_in.mcp_url + path) == 404
    if path in ("/metrics", "/healthz", "/readyz"):
        assert inside(replicas[0], path), "it is there for those inside"


async def test_of_the_api_all_is_reached_but_what_asks_for_no_key(way_in: WayIn, target: Target, real_api: Process):
    for path in ("/metrics", "/healthz", "/readyz"):
        assert inside(real_api, path), "it is there for those inside"
        assert await status(way_in, way_in.api_url + path) == 404
    assert await status(way_in, f"{way_in.api_url}/info") == 401
    assert await status(way_in, f"{way_in.api_url}/info", Authorization=f"Bearer {target.key}") == 200
    assert await status(way_in, f"{way_in.api_url}/memories", Authorization=f"Bearer {target.key}") == 200


async def test_without_a_key_nothing_is_told(way_in: WayIn):
    async with client_of(way_in, headers=ACCEPT) as client:
        for answer in (
            await client.post(f"{way_in.mcp_url}/p/alpha/mcp", json=INITIALIZE),
            await client.get(f"{way_in.mcp_url}/p/alpha/sse"),
        ):
            assert answer.status_code == 401, answer.text
            assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_neither_part_is_reached_by_the_name_of_the_other_or_by_a_name_of_nobody(way_in: WayIn, target: Target):
    bearer = f"Bearer {target.key}"
    assert await status(way_in, f"{way_in.mcp_url}/info", Authorization=bearer) == 404
    assert await status(way_in, f"{way_in.api_url}/p/{target.project}/mcp", Authorization=bearer) == 404
    for name in ("other.example.com", f"{MCP_HOST}.evil.example"):
        assert await status(way_in, f"{way_in.mcp_url}/p/{target.project}/sse", Authorization=bearer, Host=name) == 404


async def test_a_server_called_by_a_name_that_is_not_its_own_refuses(replicas: list[Process]):
    """Behind a controller that would take any name."""
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"{replicas[0].url}/sse", headers={"Host": "evil.example.com"})
    assert answer.status_code == 421


@pytest.mark.parametrize("host", [MCP_HOST, API_HOST])
def test_plain_http_is_sent_to_https_and_serves_nothing(way_in: WayIn, host: str):
    answer = httpx.get(f"{way_in.plain}/p/alpha/mcp", headers={"Host": host})
    assert answer.status_code == 308
    assert answer.headers["location"] == f"https://{host}/p/alpha/mcp"
    assert httpx.get(f"{way_in.plain}/info", headers={"Host": "other.example.com"}).status_code == 404


def test_the_certificate_is_the_one_of_the_secret(way_in: WayIn):
    trusting = ssl.create_default_context(cafile=str(way_in.ca))
    with socket.create_connection(way_in.secure) as raw, trusting.wrap_socket(raw, server_hostname=MCP_HOST) as secured:
        assert secured.version() in ("TLSv1.2", "TLSv1.3")
        assert ("DNS", API_HOST) in secured.getpeercert()["subjectAltName"]
    with socket.create_connection(way_in.secure) as raw, pytest.raises(ssl.SSLCertVerificationError):
        ssl.create_default_context().wrap_socket(raw, server_hostname=MCP_HOST)


async def test_a_silent_sse_stream_outlives_the_time_out_of_the_controller(target: Target):
    client = fastmcp.Client(SSETransport(f"{target.mcp_url}/p/{target.project}/sse", headers=target.headers))
    async with client:
        assert not (await Session(client).call("add_memory", text="before")).is_error
        await asyncio.sleep(SILENCE)  # the silence is what is tested
        listed = await Session(client).call("list_memories")
        assert [item["memory"] for item in listed.data["results"]] == ["before"]


async def test_it_is_the_objects_own_time_out_that_keeps_the_stream(open_way: Opener, target: Target):
    """The same objects without it: the controller ends the stream."""
    bare = copy.deepcopy(made(exposed("Ingress")))
    for manifest in bare:
        if manifest["kind"] == "Ingress":
            del manifest["metadata"]["annotations"]["haproxy.org/timeout-server"]
    way_in = open_way(bare)
    async with (
        client_of(way_in, headers=target.headers) as client,
        client.stream("GET", f"{way_in.mcp_url}/p/{target.project}/sse") as stream,
    ):
        assert stream.status_code == 200
        async with asyncio.timeout(5 * SILENCE):
            with pytest.raises(httpx.RemoteProtocolError):
                async for _ in stream.aiter_raw():
                    pass


async def test_an_sse_client_stays_with_its_replica_and_several_clients_use_both(way_in: WayIn, target: Target):
    served = set()
    for last in range(1, 17):
        async with from_address(way_in, f"127.0.0.{last}", target.headers) as client:
            origin = f"https://{way_in.secure[0]}:{way_in.secure[1]}"
            async with client.stream("GET", f"{origin}/p/{target.project}/sse") as stream:
                assert stream.status_code == 200
                lines = stream.aiter_lines()
                endpoint = await the_endpoint(lines)
                answer = await client.post(origin + endpoint, json=INITIALIZE)
                assert answer.status_code == 202, "another replica does not know the session"
                assert answer.headers[SERVED_BY] == stream.headers[SERVED_BY]
                served.add(stream.headers[SERVED_BY])
    assert served == {"s0", "s1"}


@pytest.mark.parametrize("way", list(WAYS))
async def test_it_is_the_operators_own_affinity_that_keeps_a_client_with_its_replica(
    open_way: Opener, target: Target, way: str
):
    """The same objects without it: what a client sends finds a replica that does not know its session."""
    bare = copy.deepcopy(made(exposed(way)))
    for manifest in bare:
        if manifest["kind"] == "Service":
            manifest["spec"].pop("sessionAffinity", None)
        manifest["metadata"].get("annotations", {}).pop("haproxy.org/load-balance", None)
    way_in = open_way(bare)
    origin = f"https://{way_in.secure[0]}:{way_in.secure[1]}"
    answers = set()
    async with from_address(way_in, "127.0.0.1", target.headers) as client:
        for _ in range(4):
            async with client.stream("GET", f"{origin}/p/{target.project}/sse") as stream:
                lines = stream.aiter_lines()
                answers.add((await client.post(origin + await the_endpoint(lines), json=INITIALIZE)).status_code)
    assert 404 in answers


def from_address(way_in: WayIn, address: str, headers: dict[str, str]) -> httpx.AsyncClient:
    """A client on another address of this machine, straight to the controller."""
    context = ssl.create_default_context(cafile=str(way_in.ca))
    context.check_hostname = False  # called by its address, so that no proxy hides where the client is
    transport = httpx.AsyncHTTPTransport(verify=context, local_address=address)
    return httpx.AsyncClient(transport=transport, timeout=20, headers={**headers, "Host": MCP_HOST})


async def the_endpoint(lines: AsyncIterator[str]) -> str:
    """Where a client of a stream with these lines sends its messages: the first event.

    Who drops the iterator closes the stream, and with it the session.
    """
    async for line in lines:
        if line.startswith("data: "):
            return line.removeprefix("data: ")
    raise AssertionError("the stream ended before it named an endpoint")
