"""Careless clients and foreign connections: nothing reaches past the key, and no project is ever guessed."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import fastmcp
import httpx
import mcp_types
import pytest
from fastmcp.client.transports import SSETransport, StreamableHttpTransport

import memsys

from .clients import CLIENTS, Session, Target, http, stdio
from .conftest import StartMcp
from .processes import Process

SECRET = "The vault code of the victim is xyloquartz."


@pytest.fixture
async def victim(target: Target) -> AsyncIterator[tuple[Target, str]]:
    """A project with a secret in it, and the id of the secret."""
    async with CLIENTS["fastmcp-http"](target) as session:
        stored = await session.call("add_memory", text=SECRET, user_id="victim", run_id="r", app_id="a")
        identity = stored.data["results"][0]["id"]
        yield target, identity
        assert SECRET in await session.read(f"memory://{identity}"), "the secret was changed or deleted"


@pytest.fixture
def intruder(victim: tuple[Target, str], admin: memsys.Client) -> Target:
    """Somebody with a good key for a project of their own."""
    own = f"{victim[0].project}-own"
    return replace(victim[0], key=admin.create_key("intruder", projects=[own]).key, project=own)


@pytest.mark.parametrize("transport", ["http", "sse"])
async def test_a_connection_that_names_another_project_is_refused_by_the_key(
    victim: tuple[Target, str], intruder: Target, transport: str
):
    url = f"{intruder.mcp_url}/p/{victim[0].project}/{'mcp' if transport == 'http' else 'sse'}"
    kind = StreamableHttpTransport if transport == "http" else SSETransport
    async with fastmcp.Client(kind(url, headers=intruder.headers)) as client:
        answer = await Session(client).call("list_memories")
    assert answer.is_error
    assert "The key does not allow this" in answer.text
    assert "xyloquartz" not in answer.text


def _list_memories(url: str, target: Target, **headers: str) -> httpx.Response:
    """Call the tool without a client, which would not send every name."""
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "list_memories", "arguments": {}}}
    sent = {**target.headers, "Accept": "application/json, text/event-stream", **headers}
    return httpx.post(url, json=call, headers={name.encode(): value.encode() for name, value in sent.items()})


@pytest.mark.parametrize("where", ["path", "header"])
@pytest.mark.parametrize("name", [".hidden", "UPPER", "a b", "-", "x" * 101, "a%00b", "ä"])
def test_a_project_that_is_no_name_is_refused_with_the_rule(target: Target, name: str, where: str):
    if where == "path":
        answer = _list_memories(f"{target.mcp_url}/p/{name}/mcp", target)
    else:
        answer = _list_memories(f"{target.mcp_url}/mcp", target, **{"X-Memsys-Project": name})
    assert answer.status_code == 200
    assert "is not a project name" in answer.text


def test_a_project_whose_name_has_slashes_is_another_path_and_no_header(target: Target):
    name = "a%2F..%2Fb"
    assert _list_memories(f"{target.mcp_url}/p/{name}/mcp", target).status_code == 404
    answer = _list_memories(f"{target.mcp_url}/mcp", target, **{"X-Memsys-Project": name})
    assert "is not a project name" in answer.text


async def test_without_a_project_the_remedy_comes_instead_of_a_guess(target: Target):
    async with fastmcp.Client(StreamableHttpTransport(f"{target.mcp_url}/mcp", headers=target.headers)) as client:
        answer = await Session(client).call("add_memory", text="x")
        with pytest.raises(Exception, match="/p/<project>/mcp"):
            await client.get_prompt("recall_project")
    assert answer.is_error
    assert "connect to /p/<project>/mcp" in answer.text
    assert "X-Memsys-Project" in answer.text


async def test_the_header_names_the_project_too(target: Target):
    headers = {**target.headers, "X-Memsys-Project": target.project}
    async with fastmcp.Client(StreamableHttpTransport(f"{target.mcp_url}/mcp", headers=headers)) as client:
        assert (await Session(client).call("add_memory", text="x")).data["results"][0]["project"] == target.project


async def test_a_manual_server_serves_its_project_and_no_other(target: Target, real_api: Process, start_mcp: StartMcp):
    server = start_mcp(real_api.url, MEMSYS_MCP_ISOLATION="manual", MEMSYS_MCP_PROJECT=target.project)
    async with fastmcp.Client(StreamableHttpTransport(f"{server.url}/mcp", headers=target.headers)) as client:
        stored = await Session(client).call("add_memory", text="x")
    assert stored.data["results"][0]["project"] == target.project
    elsewhere = replace(target, mcp_url=server.url, project="other")
    async with fastmcp.Client(http(elsewhere)) as client:
        refused = await Session(client).call("add_memory", text="x")
    assert refused.is_error
    assert f"this server serves the project '{target.project}'" in refused.text


async def test_a_global_server_uses_the_default_project_of_the_key(
    target: Target, real_api: Process, start_mcp: StartMcp
):
    server = start_mcp(real_api.url, MEMSYS_MCP_ISOLATION="global")
    async with fastmcp.Client(StreamableHttpTransport(f"{server.url}/mcp", headers=target.headers)) as client:
        stored = await Session(client).call("add_memory", text="x")
    assert stored.data["results"][0]["project"] == target.project


def repository(path: Path, remote: str | None) -> Path:
    path.mkdir(parents=True)
    subprocess.run(["git", "init", "--quiet", path], check=True)
    if remote:
        subprocess.run(["git", "-C", path, "remote", "add", "origin", remote], check=True)
    return path


@pytest.fixture
def anywhere(target: Target, admin: memsys.Client) -> Target:
    """A key that may use the projects the workspace tests lead to."""
    projects = ["git.example.org.acme.shop", "checkout", "bank"]
    return replace(target, key=admin.create_key("anywhere", projects=projects).key)


async def test_on_stdio_every_clone_of_a_repository_is_one_project(anywhere: Target, tmp_path: Path):
    clones = [
        repository(tmp_path / "one" / "checkout", "git@git.example.org:Acme/Shop.git"),
        repository(tmp_path / "two" / "elsewhere", "https://me:token@git.example.org/acme/shop"),
    ]
    inside = clones[1] / "src"
    inside.mkdir()
    for options in (
        {"roots": [f"file://{clones[0]}"]},
        {"roots": [f"file://{inside}"], "mode": "legacy"},
    ):
        async with fastmcp.Client(stdio(anywhere), **options) as client:  # type: ignore[arg-type]
            stored = await Session(client).call("add_memory", text="x")
        assert stored.data["results"][0]["project"] == "git.example.org.acme.shop", stored.text
    async with fastmcp.Client(stdio(anywhere, cwd=str(inside))) as client:
        stored = await Session(client).call("add_memory", text="x")
    assert stored.data["results"][0]["project"] == "git.example.org.acme.shop", "started inside, no roots told"


async def test_on_stdio_a_repository_without_a_remote_is_named_after_its_directory(anywhere: Target, tmp_path: Path):
    path = repository(tmp_path / "checkout", None)
    async with fastmcp.Client(stdio(anywhere), roots=[f"file://{path}"]) as client:
        stored = await Session(client).call("add_memory", text="x")
    assert stored.data["results"][0]["project"] == "checkout", stored.text


async def test_on_stdio_outside_a_repository_and_without_roots_nothing_is_guessed(anywhere: Target, tmp_path: Path):
    async with fastmcp.Client(stdio(anywhere, cwd=str(tmp_path))) as client:
        answer = await Session(client).call("add_memory", text="x")
    assert answer.is_error
    assert "does not guess" in answer.text


async def test_several_workspaces_are_an_error_that_names_them(anywhere: Target):
    roots = ["file:///home/me/checkout", "file:///home/me/bank"]
    transport = SSETransport(f"{anywhere.mcp_url}/sse", headers=anywhere.headers)
    async with fastmcp.Client(transport, roots=roots) as client:
        answer = await Session(client).call("add_memory", text="x")
    assert answer.is_error
    assert "several workspaces are open (bank, checkout)" in answer.text


@pytest.mark.parametrize(("transport", "mode"), [("stdio", "legacy"), ("sse", "legacy"), ("stdio", "auto")])
async def test_the_project_follows_a_client_that_opens_another_folder(anywhere: Target, transport: str, mode: str):
    roots = ["file:///home/me/checkout"]

    async def current(_: object) -> list[mcp_types.Root]:
        return [mcp_types.Root(uri=uri) for uri in roots]

    connection = (
        stdio(anywhere) if transport == "stdio" else SSETransport(f"{anywhere.mcp_url}/sse", headers=anywhere.headers)
    )
    async with fastmcp.Client(connection, roots=current, mode=mode) as client:  # type: ignore[arg-type]
        session = Session(client)
        first = await session.call("add_memory", text="x")
        roots[:] = ["file:///home/me/bank"]
        if mode == "legacy":  # later protocols know no such notification
            await client.send_roots_list_changed()
        second = await session.call("add_memory", text="x")
    stored = [answer.data["results"][0]["project"] for answer in (first, second)]
    assert stored == ["checkout", "bank"]


async def test_a_remote_client_s_paths_are_never_looked_up_on_the_server(anywhere: Target, tmp_path: Path):
    path = repository(tmp_path / "checkout", "git@git.example.org:acme/shop.git")
    transport = SSETransport(f"{anywhere.mcp_url}/sse", headers=anywhere.headers)
    async with fastmcp.Client(transport, roots=[f"file://{path}"]) as client:
        stored = await Session(client).call("add_memory", text="x")
    assert stored.data["results"][0]["project"] == "checkout", "named after the path, not after the server's files"
