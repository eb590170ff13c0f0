"""Clients and judges from npm: the MCP Inspector, and the official conformance suite."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from . import npm
from .clients import Target
from .processes import served
from .relay import relay

INSPECTOR = "@modelcontextprotocol/inspector@2.12.0"
CONFORMANCE = "@modelcontextprotocol/conformance@0.1.16"
# Of the other scenarios, most call tools, resources and prompts of the suite's own sample server; the rest are of
# capabilities that the server does not claim: completion, subscriptions, and streams that a stateless server has not.
SCENARIOS = (
    "server-initialize",
    "ping",
    "logging-set-level",
    "tools-list",
    "resources-list",
    "prompts-list",
    "dns-rebinding-protection",
)


@pytest.fixture(scope="session")
def programs() -> Path:
    return npm.installed("mcp", INSPECTOR, CONFORMANCE, npm.NODE)


@pytest.mark.parametrize("transport", ["http", "sse"])
def test_the_inspector_lists_and_calls_every_tool(programs: Path, target: Target, transport: str, tmp_path: Path):
    url = f"{target.mcp_url}/p/{target.project}/{'mcp' if transport == 'http' else 'sse'}"
    use_every_tool(programs, url, transport, target.key, tmp_path)


def use_every_tool(
    programs: Path, url: str, transport: str, key: str, folder: Path, variables: Mapping[str, str] | None = None
) -> None:
    """With the Inspector, from listing the tools to deleting the memory that was added."""
    connection = (url, "--transport", transport, "--header", f"Authorization: Bearer {key}")

    def inspect(*arguments: str) -> dict[str, Any]:
        command = ("mcp-inspector", "--cli", *connection, *arguments)
        written = npm.run(programs, *command, directory=folder, home=folder, variables=variables)
        answer: dict[str, Any] = json.loads(written)
        return answer

    def call(tool: str, **arguments: str) -> dict[str, Any]:
        given = [part for name, value in arguments.items() for part in ("--tool-arg", f"{name}={value}")]
        answer = inspect("--method", "tools/call", "--tool-name", tool, *given)
        assert not answer.get("isError"), answer
        content: dict[str, Any] = answer["structuredContent"]
        return content

    tools = {tool["name"] for tool in inspect("--method", "tools/list")["tools"]}
    identity = call("add_memory", text="Ana prefers tabs.")["results"][0]["id"]
    assert call("search_memories", query="What does Ana like?")["results"][0]["id"] == identity
    assert [item["id"] for item in call("list_memories")["results"]] == [identity]
    assert call("update_memory", memory_id=identity, text="Ana prefers spaces.")["version"] == 2
    assert call("delete_memory", memory_id=identity)["event"] == "DELETE"
    assert tools == {"add_memory", "search_memories", "list_memories", "update_memory", "delete_memory"}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_conformance_suite_is_content(programs: Path, target: Target, scenario: str, tmp_path: Path):
    with served(relay(target.mcp_url, target.key)) as url:
        endpoint = f"{url}/p/{target.project}/mcp"
        command = ("conformance", "server", "--url", endpoint, "--scenario", scenario, "--output-dir", str(tmp_path))
        npm.run(programs, *command, directory=tmp_path, home=tmp_path)
    [written] = tmp_path.glob("*/checks.json")
    checks = json.loads(written.read_text())
    assert checks, "a scenario without a check proves nothing"
    assert {check["status"] for check in checks} <= {"SUCCESS", "INFO"}, checks
    assert any(check["status"] == "SUCCESS" for check in checks)
