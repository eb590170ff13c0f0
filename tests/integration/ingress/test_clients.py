"""Clients that others wrote, through the way in, over both transports, with a key."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import pytest

from ..mcp import npm
from ..mcp.clients import CLIENTS, Target
from ..mcp.test_claude_code import states
from ..mcp.test_node_clients import use_every_tool
from ..mcp.test_session import TOOLS
from .conftest import WayIn


def endpoint(target: Target, transport: str) -> str:
    return f"{target.mcp_url}/p/{target.project}/{'mcp' if transport == 'http' else 'sse'}"


def test_claude_code_connects_over_http_and_sse(way_in: WayIn, target: Target, tmp_path: Path) -> None:
    programs = npm.installed("claude-code")
    directory = tmp_path / "checkout"
    directory.mkdir()
    claude = partial(npm.run, programs, "claude", "mcp", directory=directory, home=tmp_path, variables=way_in.variables)
    bearer = f"Authorization: Bearer {target.key}"
    for transport in ("http", "sse"):
        claude("add", "--transport", transport, f"by-{transport}", endpoint(target, transport), "--header", bearer)
    wrong = ("--header", "Authorization: Bearer msk_wrong")
    claude("add", "--transport", "http", "wrong-key", endpoint(target, "http"), *wrong)
    listed = claude("list")
    assert "Connected" in states(listed)["by-http"], listed
    assert "Connected" in states(listed)["by-sse"], listed
    assert "Failed to connect" in states(listed)["wrong-key"], listed


@pytest.mark.parametrize("transport", ["http", "sse"])
def test_the_inspector_lists_and_calls_every_tool(
    way_in: WayIn, target: Target, transport: str, tmp_path: Path
) -> None:
    programs = npm.installed("mcp")
    use_every_tool(programs, endpoint(target, transport), transport, target.key, tmp_path, way_in.variables)


@pytest.mark.parametrize("transport", ["http", "sse"])
def test_the_official_typescript_sdk_runs_a_whole_session(
    way_in: WayIn, target: Target, transport: str, tmp_path: Path
) -> None:
    programs = npm.installed("mcp")
    shutil.copy(Path(__file__).with_name("session.mjs"), tmp_path)
    (tmp_path / "node_modules").symlink_to(programs.parent)
    variables = {**way_in.variables, "MEMSYS_API_KEY": target.key}
    command = ("node", "session.mjs", transport, endpoint(target, transport), ",".join(TOOLS))
    written = npm.run(programs, *command, directory=tmp_path, home=tmp_path, variables=variables)
    assert written.splitlines()[-1] == "the session is complete"


@pytest.mark.parametrize("client", ["official-http", "official-sse", "fastmcp-http", "fastmcp-sse"])
async def test_the_python_clients_run_a_whole_session(target: Target, client: str) -> None:
    async with CLIENTS[client](target) as session:
        assert [tool.name for tool in await session.tools()] == TOOLS
        added = await session.call("add_memory", text="Ana prefers tabs.")
        identity = added.data["results"][0]["id"]
        found = await session.call("search_memories", query="What does Ana like?")
        assert found.data["results"][0]["id"] == identity, found.text
        listed = await session.call("list_memories")
        assert [item["id"] for item in listed.data["results"]] == [identity]
        changed = await session.call("update_memory", memory_id=identity, text="Ana prefers spaces.")
        assert changed.data["version"] == 2, changed.text
        assert "Ana prefers spaces." in await session.read(f"memory://{identity}")
        assert "Ana prefers spaces." in await session.prompt("recall_project")
        gone = await session.call("delete_memory", memory_id=identity)
        assert gone.data["event"] == "DELETE", gone.text
